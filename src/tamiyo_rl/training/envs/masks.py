"""The action masks of an environment, side by side in the order of the heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from tamiyo_rl.policy.action_dims import categorical
from tamiyo_rl.policy.spaces import SpaceAdapter
from tamiyo_rl.policy.spaces.actions import action_dims_of
from tamiyo_rl.training.envs.returned import as_rows, batch_of_one, read_info

Masks = NDArray[np.bool_]
Rows = Sequence[int]  # numbers of the environments
METHOD = "action_masks"


class ActionMasks:
    """Reads the action masks of a vector environment, wherever it gives them.

    They stand in `info["action_mask"]`, or the environments have a method `action_masks()`. A mask
    is 0 or 1 for each action: one array with the actions of all heads side by side, or nested as
    `action_space.sample(mask=...)` takes it, a tuple for MultiDiscrete and a dict for Dict.

    Args:
        envs: The vector environment.

    Examples:
        ```python
        import numpy as np
        from tamiyo_rl.training import ActionMasks, make_envs

        masks = ActionMasks(make_envs("CartPole-v1", num_envs=2))
        print(masks.read({}))
        print(masks.read({"action_mask": np.array([[1, 1], [0, 1]], dtype=np.int8)}).tolist())
        ```

        ```text
        None
        [[True, True], [False, True]]
        ```
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        self._envs = envs
        self._space = envs.single_action_space
        self._num_envs = envs.num_envs
        spaces_of_one = SpaceAdapter(envs.single_observation_space, self._space)
        self._sizes = categorical(spaces_of_one.action_dims)
        self._has_method = _has_method(envs.unwrapped)

    def read(self, info: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Masks | None:
        """Return the masks of the next action, `[B, actions]`; None without masks.

        Args:
            info: What `reset` or `step` returned: a dict, or a list with a dict for each
                environment. An environment without a mask allows all.

        Raises:
            TypeError: If `info` is neither.
            ValueError: If a mask has another shape or other values, naming what came.
        """
        info = read_info(info, self._num_envs)
        rows = range(self._num_envs)
        if "action_mask" in info:
            return _part(self._space, info, "action_mask", rows, "info")
        if self._has_method:
            return _flat(self._space, self._call_method(), rows, f"{METHOD}()")
        return None

    def all_valid(self) -> Masks:
        """Return masks that allow every action."""
        return np.ones((self._num_envs, sum(self._sizes.values())), dtype=np.bool_)

    def by_head(self, masks: Masks | None, device: torch.device) -> dict[str, torch.Tensor] | None:
        """Split masks by head, as `get_action` takes them."""
        if masks is None:
            return None
        parts = torch.tensor(masks, device=device).split(list(self._sizes.values()), dim=-1)
        return dict(zip(self._sizes, parts, strict=True))

    def _call_method(self) -> Any:
        envs: Any = self._envs.unwrapped
        return getattr(envs, METHOD)() if hasattr(envs, METHOD) else as_rows(envs.call(METHOD))


def _has_method(envs: Any) -> bool:
    has_own = callable(getattr(envs, METHOD, None))
    return has_own or (hasattr(envs, "call") and all(envs.call("has_wrapper_attr", METHOD)))


def _part(
    space: gymnasium.Space[Any], masks: Mapping[str, Any], key: str, rows: Rows, path: str
) -> Masks:
    """Return one entry; Gymnasium says under `_key` which environments gave it."""
    flat = _flat(space, masks.get(key), rows, f'{path}["{key}"]')
    given = masks.get(f"_{key}")
    return flat if given is None else flat | ~np.asarray(given, dtype=np.bool_)[:, None]


def _flat(space: gymnasium.Space[Any], masks: Any, rows: Rows, path: str) -> Masks:
    """Return `[B, actions]` for the environments of these numbers, true where one is valid."""
    if isinstance(masks, np.ndarray) and masks.dtype == object and masks.shape == (len(rows),):
        own = zip(rows, masks, strict=True)
        return np.concatenate([_flat(space, batch_of_one(m), [row], path) for row, m in own])
    if isinstance(masks, Mapping) and isinstance(space, spaces.Dict):
        parts = [_part(sub, masks, key, rows, path) for key, sub in space.items()]
        return np.concatenate(parts, axis=1)
    if isinstance(masks, tuple) and isinstance(space, spaces.Tuple):
        pairs = zip(space.spaces, masks, strict=True)
        return np.concatenate([_flat(sub, m, rows, path) for sub, m in pairs], axis=1)
    size = _num_actions(space)
    if masks is None:
        return np.ones((len(rows), size), dtype=np.bool_)
    return _checked(masks, rows, size, path)


def _num_actions(space: gymnasium.Space[Any]) -> int:
    return sum(categorical(action_dims_of(space, "action_space")).values())


def _checked(masks: Any, rows: Rows, size: int, path: str) -> Masks:
    try:
        flat = _side_by_side(masks, len(rows))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected 0 or 1 for each action, got {masks!r}.") from error
    if flat.shape != (len(rows), size):
        raise ValueError(
            f"{path}: expected shape {[len(rows), size]}, the actions of all heads in each "
            f"environment, got {list(flat.shape)}."
        )
    valid: Masks = flat == 1
    wrong = np.argwhere(~valid & (flat != 0))
    if wrong.size:
        row, index = wrong[0].tolist()
        raise ValueError(
            f"{path}: expected 0 or 1 for each action, got {flat[row].tolist()[index]} from "
            f"environment {rows[row]} at index {index}."
        )
    return valid


def _side_by_side(masks: Any, num_envs: int) -> NDArray[Any]:
    """Join a tuple of masks, however deep, along the actions."""
    if isinstance(masks, tuple):
        return np.concatenate([_side_by_side(mask, num_envs) for mask in masks], axis=1)
    return np.asarray(masks).reshape(num_envs, -1)
