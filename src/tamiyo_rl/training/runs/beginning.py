"""A training that begins with the policy of another."""

from __future__ import annotations

import os
from typing import Any

from tamiyo_rl.policy.protocol import PolicyBundle
from tamiyo_rl.training.ppo.trainer import RecurrentPPO
from tamiyo_rl.training.rollout.normalization import FeatureNormalizer
from tamiyo_rl.training.runs.policy import load_policy, policy_sizes


def init_from_policy(trainer: RecurrentPPO, path: str | os.PathLike[str]) -> None:
    """Put the parameters and the statistics of a saved policy into a training that begins.

    The optimizer and the scale of the rewards begin anew.

    Args:
        trainer: Of a policy of the same sizes.
        path: What `save_policy` wrote.

    Raises:
        ValueError: If the file is not a policy, or one of other sizes, naming the first.
    """
    saved = load_policy(path)
    own = _sizes(trainer.bundle, trainer.normalizer)
    for name, value in _sizes(*saved).items():
        if own[name] != value:
            raise ValueError(
                f"init_from: expected a policy with {name}={own[name]} as this training has, got "
                f"{value} in {path}. Train with that, or begin with another policy."
            )
    trainer.bundle.load_state_dict(saved.bundle.state_dict())
    trainer.normalizer.load_state_dict(saved.normalizer.state_dict())


def _sizes(bundle: PolicyBundle, normalizer: FeatureNormalizer) -> dict[str, Any]:
    settings: dict[str, Any] = policy_sizes(bundle)["settings"]
    return settings | {"normalize_observations": normalizer.enabled}
