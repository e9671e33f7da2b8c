"""Checks of what the calls of the trainer accept, made before anything changes."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from gymnasium.vector import VectorEnv

from tamiyo_rl.checks import require_shape
from tamiyo_rl.policy.protocol import PolicyBundle
from tamiyo_rl.policy.spaces import SpaceAdapter


def require_number(name: str, value: object, low: float, high: float) -> float:
    """Return `value` if it is a number from `low` to `high`, a bool not counting as one."""
    number: Any = value
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= number <= high:
        raise ValueError(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}.")
    return float(number)


def require_seed(value: object) -> None:
    """Raise unless `value` is an int that PyTorch and NumPy both take as a seed."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"seed: expected an int from 0 to 2**63 - 1, got {value!r}.")


def require_floats(
    names: Sequence[str],
    values: Sequence[object],
    like: torch.Tensor | None = None,
    dims: tuple[str, ...] = ("batch", "time"),
) -> torch.Tensor:
    """Raise unless these are floating point, of the shape and on the device of the first.

    Args:
        names: The arguments, as the error names them.
        values: What was passed.
        like: A tensor whose shape and device they must have; None for the first one's.
        dims: Names of the dimensions.

    Returns:
        The first.
    """
    tensors: list[torch.Tensor] = []
    for name, value in zip(names, values, strict=True):
        tensor = _require_like(name, value, like, dims)
        if not tensor.is_floating_point():
            raise TypeError(f"{name}: expected floating point, got {tensor.dtype}. Use .float().")
        tensors.append(tensor)
        like = tensors[0] if like is None else like
    return tensors[0]


def require_flags(names: Sequence[str], values: Sequence[object], like: torch.Tensor) -> None:
    """Raise unless these are bool, of the shape and on the device of `like`."""
    for name, value in zip(names, values, strict=True):
        tensor = _require_like(name, value, like)
        if tensor.dtype != torch.bool:
            raise TypeError(f"{name}: expected torch.bool, got {tensor.dtype}. Use .bool().")


def _require_like(
    name: str,
    value: object,
    like: torch.Tensor | None,
    dims: tuple[str, ...] = ("batch", "time"),
) -> torch.Tensor:
    sizes = dict.fromkeys(dims) if like is None else dict(zip(dims, like.shape, strict=True))
    tensor = require_shape(name, value, sizes)
    if like is not None and tensor.device != like.device:
        raise ValueError(f"{name}: expected a tensor on {like.device}, got one on {tensor.device}.")
    return tensor


def require_fit(bundle: PolicyBundle, envs: VectorEnv[Any, Any, Any]) -> None:
    """Raise unless the policy has the sizes of the environments' spaces."""
    if not isinstance(envs, VectorEnv):
        raise TypeError(
            f"envs: expected a Gymnasium VectorEnv, got {type(envs).__name__}. Make one with "
            "make_envs(), or put your environment into gymnasium.vector.SyncVectorEnv."
        )
    if not isinstance(bundle, PolicyBundle):
        raise TypeError(f"bundle: expected a PolicyBundle, got {type(bundle).__name__}.")
    spaces = SpaceAdapter(envs.single_observation_space, envs.single_action_space)
    for name in ("feature_dim", "action_dims"):
        needed = getattr(spaces, name)
        own = getattr(bundle, name)
        if needed != own:
            raise ValueError(
                f"bundle: expected {name}={needed} for these environments, got {own}. Build it "
                "with LSTMPolicyBundle.from_spaces()."
            )
