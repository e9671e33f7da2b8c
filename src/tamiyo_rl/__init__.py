"""A recurrent PPO policy whose contract between rollout and training is executed."""

from tamiyo_rl.contract import (
    ContractError,
    GradientReport,
    InferenceTensorWarning,
    MissingHiddenWarning,
    audit_backward,
    audit_gradients,
    check_consistency,
    check_ratio,
    find_inference_tensors,
    guard_training_inputs,
    trace_crossings,
    watch_training,
)
from tamiyo_rl.policy import (
    ActionResult,
    EpisodePlan,
    EpisodicLSTM,
    EvalResult,
    ForwardResult,
    HiddenState,
    LSTMPolicyBundle,
    PolicyBundle,
)

__all__ = [
    "ActionResult",
    "ContractError",
    "EpisodePlan",
    "EpisodicLSTM",
    "EvalResult",
    "ForwardResult",
    "GradientReport",
    "HiddenState",
    "InferenceTensorWarning",
    "LSTMPolicyBundle",
    "MissingHiddenWarning",
    "PolicyBundle",
    "audit_backward",
    "audit_gradients",
    "check_consistency",
    "check_ratio",
    "find_inference_tensors",
    "guard_training_inputs",
    "trace_crossings",
    "watch_training",
]
