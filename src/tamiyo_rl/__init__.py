"""A recurrent PPO policy whose contract between rollout and training is executed."""

from tamiyo_rl.contract import (
    ContractError,
    InferenceTensorWarning,
    MissingHiddenWarning,
    find_inference_tensors,
    guard_training_inputs,
)
from tamiyo_rl.policy import (
    ActionHeads,
    ActionResult,
    EpisodePlan,
    EpisodicLSTM,
    EvalResult,
    FactoredRecurrentActorCritic,
    ForwardResult,
    HiddenState,
    LSTMPolicyBundle,
    PolicyBundle,
)

__all__ = [
    "ActionHeads",
    "ActionResult",
    "ContractError",
    "EpisodePlan",
    "EpisodicLSTM",
    "EvalResult",
    "FactoredRecurrentActorCritic",
    "ForwardResult",
    "HiddenState",
    "InferenceTensorWarning",
    "LSTMPolicyBundle",
    "MissingHiddenWarning",
    "PolicyBundle",
    "find_inference_tensors",
    "guard_training_inputs",
]
