"""The training step and the rollout against peers, side by side in one process, as ratios."""
