"""Ray RLlib: a recurrent policy with episode resets for its PPO, and a watch for its learners."""

try:
    import ray.rllib  # noqa: F401 - to say what is missing
except ImportError as error:
    raise ImportError(
        "ray.rllib: expected Ray with RLlib, got none. Install 'tamiyo-rl[rllib]'."
    ) from error

from tamiyo_rl.integrations.rllib.joining import JoinChunks, PPOTorchLearner
from tamiyo_rl.integrations.rllib.module import LSTMPolicyModule
from tamiyo_rl.integrations.rllib.watch import WatchMixin

__all__ = ["JoinChunks", "LSTMPolicyModule", "PPOTorchLearner", "WatchMixin"]
