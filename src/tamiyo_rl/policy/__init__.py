"""What a policy is: the LSTM with episode resets, the action heads, and the bundle around them."""

from tamiyo_rl.policy.action_dims import Gaussian
from tamiyo_rl.policy.bundle import LSTMPolicyBundle
from tamiyo_rl.policy.heads import ActionHeads
from tamiyo_rl.policy.image_encoder import ImageEncoder
from tamiyo_rl.policy.network import FactoredRecurrentActorCritic
from tamiyo_rl.policy.protocol import PolicyBundle
from tamiyo_rl.policy.results import ActionResult, EvalResult, ForwardResult
from tamiyo_rl.recurrent.episode_plan import EpisodePlan
from tamiyo_rl.recurrent.episodic_gru import EpisodicGRU
from tamiyo_rl.recurrent.episodic_lstm import EpisodicLSTM
from tamiyo_rl.recurrent.hidden_state import HiddenState

__all__ = [
    "ActionHeads",
    "ActionResult",
    "EpisodePlan",
    "EpisodicGRU",
    "EpisodicLSTM",
    "EvalResult",
    "FactoredRecurrentActorCritic",
    "ForwardResult",
    "Gaussian",
    "HiddenState",
    "ImageEncoder",
    "LSTMPolicyBundle",
    "PolicyBundle",
]
