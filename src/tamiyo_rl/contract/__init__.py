"""What may cross from rollout to training, and who checks it; usable alone, on any policy."""

from tamiyo_rl.contract.guard import (
    ContractError,
    InferenceTensorWarning,
    MissingHiddenWarning,
    find_inference_tensors,
    guard_training_inputs,
)
from tamiyo_rl.contract.origin import mark_origin, origin_of

__all__ = [
    "ContractError",
    "InferenceTensorWarning",
    "MissingHiddenWarning",
    "find_inference_tensors",
    "guard_training_inputs",
    "mark_origin",
    "origin_of",
]
