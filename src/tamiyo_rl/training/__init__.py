"""A reference user of the policy: rollout buffer, recurrent PPO and environments."""

from tamiyo_rl.training.checkpoint import SavedPolicy, load_policy, save_policy
from tamiyo_rl.training.diagnostics import UpdateReport
from tamiyo_rl.training.environments import (
    EnvironmentStepper,
    KeepColumns,
    make_cartpole_without_velocities,
)
from tamiyo_rl.training.evaluation import evaluate_policy
from tamiyo_rl.training.gae import generalized_advantages
from tamiyo_rl.training.normalization import FeatureNormalizer, RewardScaler
from tamiyo_rl.training.ppo_config import PPOConfig
from tamiyo_rl.training.ppo_loss import PPOLoss, ppo_loss
from tamiyo_rl.training.recurrent_ppo import RecurrentPPO
from tamiyo_rl.training.rollout_buffer import RolloutBatch, RolloutBuffer

__all__ = [
    "EnvironmentStepper",
    "FeatureNormalizer",
    "KeepColumns",
    "PPOConfig",
    "PPOLoss",
    "RecurrentPPO",
    "RewardScaler",
    "RolloutBatch",
    "RolloutBuffer",
    "SavedPolicy",
    "UpdateReport",
    "evaluate_policy",
    "generalized_advantages",
    "load_policy",
    "make_cartpole_without_velocities",
    "ppo_loss",
    "save_policy",
]
