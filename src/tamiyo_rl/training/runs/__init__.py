"""The folder of a run: settings, log, curve, checkpoints and the trained policy."""
