"""Speed of training and collection, side by side in one process, as ratios."""

SUITES = (
    "update",
    "parts",
    "gru",
    "inside_sb3",
    "inside_torchrl",
    "rollout",
    "collection",
    "end_to_end",
    "guard",
    "watch",
    "compile",
    "scaling",
)
