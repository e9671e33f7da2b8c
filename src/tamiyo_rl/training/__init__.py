"""A reference user of the policy: rollout buffer, recurrent PPO and environments."""

from tamiyo_rl.policy.spaces import SpaceAdapter
from tamiyo_rl.training.config import PPOConfig
from tamiyo_rl.training.distributed import process_group, rank, world_size
from tamiyo_rl.training.envs.make import make_envs
from tamiyo_rl.training.envs.masks import ActionMasks
from tamiyo_rl.training.envs.stepper import EnvironmentStep, EnvironmentStepper
from tamiyo_rl.training.ppo.diagnostics import (
    UpdateReport,
    explained_variance,
    hidden_staleness,
)
from tamiyo_rl.training.ppo.loss import ppo_loss
from tamiyo_rl.training.ppo.trainer import RecurrentPPO
from tamiyo_rl.training.rollout.buffer import RolloutBatch, RolloutBuffer
from tamiyo_rl.training.rollout.evaluation import evaluate_policy
from tamiyo_rl.training.rollout.gae import compute_gae
from tamiyo_rl.training.rollout.normalization import FeatureNormalizer, RewardScaler
from tamiyo_rl.training.runs.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from tamiyo_rl.training.runs.comparison import Curve, compare_runs
from tamiyo_rl.training.runs.evaluation import Evaluation, evaluate_run
from tamiyo_rl.training.runs.export import export_policy
from tamiyo_rl.training.runs.log import TensorBoardLog
from tamiyo_rl.training.runs.policy import SavedPolicy, load_policy, save_policy
from tamiyo_rl.training.runs.recording import Recording, record_run

__all__ = [
    "ActionMasks",
    "Curve",
    "EnvironmentStep",
    "EnvironmentStepper",
    "Evaluation",
    "FeatureNormalizer",
    "PPOConfig",
    "Recording",
    "RecurrentPPO",
    "RewardScaler",
    "RolloutBatch",
    "RolloutBuffer",
    "SavedPolicy",
    "SpaceAdapter",
    "TensorBoardLog",
    "UpdateReport",
    "compare_runs",
    "compute_gae",
    "evaluate_policy",
    "evaluate_run",
    "explained_variance",
    "export_policy",
    "hidden_staleness",
    "latest_checkpoint",
    "load_checkpoint",
    "load_policy",
    "make_envs",
    "ppo_loss",
    "process_group",
    "rank",
    "record_run",
    "save_checkpoint",
    "save_policy",
    "world_size",
]
