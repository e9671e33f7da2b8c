"""How good a policy is: whole episodes with the most probable actions."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from tamiyo_rl.policy.protocol import PolicyBundle
from tamiyo_rl.training.checks import require_fit, require_seed
from tamiyo_rl.training.normalization import FeatureNormalizer
from tamiyo_rl.training.stepping import EnvironmentStepper


def evaluate_policy(
    bundle: PolicyBundle,
    envs: VectorEnv[Any, Any, Any],
    normalizer: FeatureNormalizer,
    *,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Play one whole episode in each environment, and return their returns, `[B]`.

    One episode for each environment counts long and short ones alike. The policy is in evaluation
    mode meanwhile, and the statistics of the normaliser are not updated.

    Args:
        bundle: The policy.
        envs: Vector environment with as many environments as episodes are wanted.
        normalizer: Of the training.
        seed: Of the environments.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the bundle or the normaliser does not fit the environments, or these return
            NaN or infinity; the bundle is in the mode that it had.

    Examples:
        ```python
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import (
            FeatureNormalizer, evaluate_policy, make_cartpole_without_velocities,
        )

        envs = make_cartpole_without_velocities(num_envs=10)
        bundle = LSTMPolicyBundle(feature_dim=2, action_dims=2)
        returns = evaluate_policy(bundle, envs, FeatureNormalizer(2))
        print(returns.shape, bool((returns < 475).all()))
        ```

        ```text
        (10,) True
        ```
    """
    require_fit(bundle, envs)
    require_seed(seed)
    _require_normalizer(normalizer, bundle.feature_dim)
    was_training = bundle.training
    bundle.train(mode=False)
    try:
        return _play(bundle, envs, normalizer, seed)
    finally:
        bundle.train(mode=was_training)


def _require_normalizer(normalizer: object, feature_dim: int) -> None:
    is_one = isinstance(normalizer, FeatureNormalizer)
    if not is_one or normalizer.feature_dim != feature_dim:  # type: ignore[attr-defined]  # is_one says so
        got = f"one of {normalizer.feature_dim}" if is_one else repr(normalizer)  # type: ignore[attr-defined]  # is_one says so
        raise ValueError(f"normalizer: expected a FeatureNormalizer({feature_dim}), got {got}.")


def _play(
    bundle: PolicyBundle, envs: VectorEnv[Any, Any, Any], normalizer: FeatureNormalizer, seed: int
) -> NDArray[np.float64]:
    stepper = EnvironmentStepper(envs, bundle.device)
    features, hidden = stepper.reset(seed), bundle.initial_hidden(envs.num_envs)
    returns, running = np.zeros(envs.num_envs), np.ones(envs.num_envs, dtype=np.bool_)
    while running.any():
        masks = stepper.action_masks.by_head(stepper.masks, bundle.device)
        result = bundle.get_action(normalizer(features), masks, hidden, deterministic=True)
        step = stepper.step(result.action)
        returns += np.where(running, step.rewards, 0.0)
        running &= ~(step.terminated | step.truncated)
        features, hidden = step.features, result.hidden
    return returns
