"""A reference user of the policy: rollout buffer, recurrent PPO and environments."""

from tamiyo_rl.training.action_masks import ActionMasks
from tamiyo_rl.training.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from tamiyo_rl.training.diagnostics import (
    GradientNorms,
    UpdateReport,
    explained_variance,
    hidden_staleness,
)
from tamiyo_rl.training.environments import (
    KeepColumns,
    make_cartpole_without_velocities,
    make_envs,
)
from tamiyo_rl.training.evaluation import evaluate_policy
from tamiyo_rl.training.gae import compute_gae
from tamiyo_rl.training.normalization import FeatureNormalizer, RewardScaler
from tamiyo_rl.training.ppo_config import PPOConfig
from tamiyo_rl.training.ppo_loss import PPOLoss, ppo_loss
from tamiyo_rl.training.recurrent_ppo import RecurrentPPO
from tamiyo_rl.training.rollout_buffer import RolloutBatch, RolloutBuffer
from tamiyo_rl.training.saved_policy import SavedPolicy, load_policy, save_policy
from tamiyo_rl.training.stepping import EnvironmentStep, EnvironmentStepper
from tamiyo_rl.training.tensorboard import TensorBoardLog

__all__ = [
    "ActionMasks",
    "EnvironmentStep",
    "EnvironmentStepper",
    "FeatureNormalizer",
    "GradientNorms",
    "KeepColumns",
    "PPOConfig",
    "PPOLoss",
    "RecurrentPPO",
    "RewardScaler",
    "RolloutBatch",
    "RolloutBuffer",
    "SavedPolicy",
    "TensorBoardLog",
    "UpdateReport",
    "compute_gae",
    "evaluate_policy",
    "explained_variance",
    "hidden_staleness",
    "latest_checkpoint",
    "load_checkpoint",
    "load_policy",
    "make_cartpole_without_velocities",
    "make_envs",
    "ppo_loss",
    "save_checkpoint",
    "save_policy",
]
