"""Actions of a policy, in the format of a space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from tamiyo_rl.checks import FLOAT_DTYPES, require_shape
from tamiyo_rl.policy.action_dims import Gaussian
from tamiyo_rl.policy.inputs import INDEX_DTYPES
from tamiyo_rl.policy.spaces.indices import indices
from tamiyo_rl.policy.spaces.parts import parts_of

ACTIONS = "Box, Discrete, MultiDiscrete, or Dict and Tuple of them"


def action_dims_of(space: gymnasium.Space[Any], path: str) -> dict[str, int | Gaussian]:
    """Return the heads that a space of actions needs.

    Args:
        space: The space.
        path: Its name in errors.

    Raises:
        TypeError: If a key of a Dict is not a string.
        ValueError: If a space is of an unsupported kind, naming it.
    """
    if isinstance(space, spaces.Box):
        return _gaussian_head(space, path)
    if isinstance(space, spaces.Discrete):
        return {"action": int(space.n)}
    if isinstance(space, spaces.MultiDiscrete):
        return {str(i): int(n) for i, n in enumerate(space.nvec.flatten())}
    if isinstance(space, spaces.Dict | spaces.Tuple):
        keys = [key for key, _ in parts_of(space)]
        if isinstance(space, spaces.Dict) and not all(isinstance(key, str) for key in keys):
            raise TypeError(f"{path}: expected keys that are strings, got {keys}.")
        parts = {key: action_dims_of(sub, f"{path}[{key!r}]") for key, sub in parts_of(space)}
        heads = [(_head(key, sub), n) for key, dims in parts.items() for sub, n in dims.items()]
        if len(dict(heads)) < len(heads):
            raise ValueError(f"{path}: expected keys that name each head once, got {keys}.")
        return dict(heads)
    raise ValueError(f"{path}: expected {ACTIONS}, got {space}.")


def _gaussian_head(space: spaces.Box, path: str) -> dict[str, int | Gaussian]:
    if space.dtype is None or space.dtype.kind != "f":
        raise ValueError(
            f"{path}: expected a Box of floating point, got {space}. Whole numbers are a "
            "MultiDiscrete."
        )
    if not ((space.low <= space.high) & (space.low < np.inf) & (space.high > -np.inf)).all():
        raise ValueError(
            f"{path}: expected bounds with numbers between them, got low={space.low.tolist()} and "
            f"high={space.high.tolist()}."
        )
    if not space.low.size:
        raise ValueError(f"{path}: expected at least one action, got {space}.")
    return {"action": Gaussian(space.low.size)}


def _head(key: object, sub: str) -> str:
    return str(key) if sub == "action" else f"{key}.{sub}"


def values_of_head(
    name: str, dims: int | Gaussian, action: object, rows: int | None
) -> NDArray[Any]:
    """Return the actions of a head, `[B]` indices or `[B, D]` numbers, or raise."""
    path = f'actions["{name}"]'
    if isinstance(dims, Gaussian):
        return _numbers(path, action, rows, dims)
    return _choices(path, action, rows, dims)


def _choices(path: str, value: object, rows: int | None, n: int) -> NDArray[Any]:
    """Return the indices that a categorical head chose, `[B]`."""
    action = require_shape(path, value, {"batch": rows})
    _require_values(path, action, INDEX_DTYPES, "integers")
    return indices(path, action.long().cpu().numpy(), 0, n)


def _numbers(path: str, value: object, rows: int | None, head: Gaussian) -> NDArray[Any]:
    """Return the numbers that a continuous head chose, `[B, D]`."""
    action = require_shape(path, value, {"batch": rows, "numbers": head.size})
    _require_values(path, action, FLOAT_DTYPES, "floating point")
    numbers: NDArray[Any] = action.detach().cpu().double().numpy()
    if not np.isfinite(numbers).all():
        place = np.argwhere(~np.isfinite(numbers))[0].tolist()
        raise ValueError(
            f"{path}: expected finite numbers, got {numbers[tuple(place)]} at index {place}."
        )
    return numbers


def _require_values(
    path: str, action: torch.Tensor, dtypes: frozenset[torch.dtype], kind: str
) -> None:
    if action.dtype not in dtypes or action.is_meta:
        got = "a tensor on meta" if action.is_meta else action.dtype
        raise TypeError(f"{path}: expected the values of {kind}, got {got}.")


def environment_actions(space: gymnasium.Space[Any], by_head: Mapping[str, NDArray[Any]]) -> Any:
    """Convert checked actions by head to the format of a space."""
    if isinstance(space, spaces.Discrete):
        return (by_head["action"] + space.start).astype(space.dtype)
    if isinstance(space, spaces.MultiDiscrete):
        stacked = np.stack([by_head[str(i)] for i in range(space.nvec.size)], axis=-1)
        return (stacked.reshape(-1, *space.nvec.shape) + space.start).astype(space.dtype)
    if isinstance(space, spaces.Box):
        numbers = by_head["action"].reshape(-1, *space.shape)
        return np.clip(numbers, space.low, space.high).astype(space.dtype)
    assert isinstance(space, spaces.Dict | spaces.Tuple)  # noqa: S101 - the constructor refuses other spaces
    taken = {
        key: environment_actions(
            sub, {name: by_head[_head(key, name)] for name in action_dims_of(sub, str(key))}
        )
        for key, sub in parts_of(space)
    }
    return taken if isinstance(space, spaces.Dict) else tuple(taken.values())
