"""What a policy is: the LSTM with episode resets, the action heads, and the bundle around them."""

from tamiyo_rl.policy.action_heads import ActionHeads
from tamiyo_rl.policy.episode_plan import EpisodePlan
from tamiyo_rl.policy.episodic_lstm import EpisodicLSTM
from tamiyo_rl.policy.lstm_bundle import LSTMPolicyBundle
from tamiyo_rl.policy.network import FactoredRecurrentActorCritic
from tamiyo_rl.policy.protocol import (
    ActionResult,
    EvalResult,
    ForwardResult,
    HiddenState,
    PolicyBundle,
)

__all__ = [
    "ActionHeads",
    "ActionResult",
    "EpisodePlan",
    "EpisodicLSTM",
    "EvalResult",
    "FactoredRecurrentActorCritic",
    "ForwardResult",
    "HiddenState",
    "LSTMPolicyBundle",
    "PolicyBundle",
]
