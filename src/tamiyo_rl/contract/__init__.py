"""Checks of what crosses from rollout to training, for any policy."""

from tamiyo_rl.contract.audit import (
    GradientReport,
    audit_backward,
    audit_gradients,
)
from tamiyo_rl.contract.consistency import check_consistency, check_ratio
from tamiyo_rl.contract.guard import (
    ContractError,
    InferenceTensorWarning,
    MissingHiddenWarning,
    guard_module,
    guard_training_inputs,
)
from tamiyo_rl.contract.origin import mark_origin, origin_of
from tamiyo_rl.contract.search import InferenceTensors, find_inference_tensors
from tamiyo_rl.contract.trace import trace_crossings
from tamiyo_rl.contract.watch import Watch, WatchReport, watch_training

__all__ = [
    "ContractError",
    "GradientReport",
    "InferenceTensorWarning",
    "InferenceTensors",
    "MissingHiddenWarning",
    "Watch",
    "WatchReport",
    "audit_backward",
    "audit_gradients",
    "check_consistency",
    "check_ratio",
    "find_inference_tensors",
    "guard_module",
    "guard_training_inputs",
    "mark_origin",
    "origin_of",
    "trace_crossings",
    "watch_training",
]
