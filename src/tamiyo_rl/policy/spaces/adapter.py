"""Gymnasium spaces: observations to features, actions back to the environment's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from tamiyo_rl.policy.inputs import require_heads
from tamiyo_rl.policy.spaces.actions import action_dims_of, environment_actions, values_of_head
from tamiyo_rl.policy.spaces.observations import columns_of, feature_dim_of, is_image


class SpaceAdapter:
    """Converts between a Gymnasium environment and a policy, for a batch of environments.

    Args:
        observation_space: The space of one environment's observations.
        action_space: The space of one environment's actions.

    Raises:
        ValueError: If a space is of an unsupported kind or holds nothing, naming it.

    Examples:
        ```python
        import numpy as np
        import torch
        from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
        from tamiyo_rl.policy.spaces import SpaceAdapter

        observations = Dict(position=Box(-1, 1, (2,)), room=Discrete(3))
        adapter = SpaceAdapter(observations, MultiDiscrete([2, 5]))
        batch = {"position": np.array([[0.5, -0.5]]), "room": np.array([2])}
        print(adapter.features(batch).tolist())
        print(adapter.action_dims)
        print(adapter.actions({"0": torch.tensor([1]), "1": torch.tensor([4])}).tolist())
        ```

        ```text
        [[0.5, -0.5, 0.0, 0.0, 1.0]]
        {'0': 2, '1': 5}
        [[1, 4]]
        ```
    """

    def __init__(
        self, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
    ) -> None:
        self.observation_space = observation_space
        self.action_space = action_space
        self.feature_dim = feature_dim_of(observation_space, "observation_space")
        self.action_dims = action_dims_of(action_space, "action_space")
        self.is_image = is_image(observation_space)
        if not self.feature_dim:
            raise ValueError(
                f"observation_space: expected at least one number, got {observation_space}."
            )
        if not self.action_dims:
            raise ValueError(f"action_space: expected at least one action, got {action_space}.")

    def features(
        self,
        observations: Any,
        device: torch.device | str | None = None,
    ) -> torch.Tensor:
        """Flatten a batch of observations to float32 features `[B, F]`, discrete parts one-hot.

        Images stay uint8.

        Args:
            observations: The observations of a vector environment.
            device: Device of the features; None for PyTorch's default device.

        Raises:
            TypeError: If a part of the observations is missing, or is not an array of numbers.
            ValueError: If a part has another shape than its space, or an index is not in it; if
                this machine has no such device.
        """
        return self.join(self.columns(observations), device)

    def columns(
        self,
        observations: Any,
        name: str = "observations",
        *,
        num_envs: int | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Flatten each part of a batch of observations, in its own dtype, `[B, n]` by its path.

        Args:
            observations: The observations of a vector environment.
            name: The name of the observations in errors.
            num_envs: The number of rows that they must have, B; None for any.

        Raises:
            TypeError: If a part of the observations is missing, or is not an array of numbers.
            ValueError: If a part has another shape than its space, or an index is not in it.
        """
        if self._is_plain(observations):  # which saves most environments the look at each part
            columns = {name: observations.reshape(len(observations), self.feature_dim)}
        else:
            columns = columns_of(self.observation_space, observations, name)
        _require_same_rows(columns, num_envs)
        return columns

    def _is_plain(self, observations: object) -> bool:
        """Tell whether these are an array of float32 of a space that is only a Box."""
        return (
            type(observations) is np.ndarray
            and observations.dtype == np.float32
            and observations.ndim > 0
            and isinstance(self.observation_space, spaces.Box)
            and observations.shape[1:] == self.observation_space.shape
        )

    def join(
        self, columns: Mapping[str, NDArray[Any]], device: torch.device | str | None = None
    ) -> torch.Tensor:
        """Join what `columns` returned to float32 features `[B, F]`, or uint8 if it is an image.

        Args:
            columns: The features of each part, `[B, n]`.
            device: Device of the features; None for PyTorch's default device.

        Raises:
            ValueError: If this machine has no such device.
        """
        parts = list(columns.values())
        features = parts[0].astype(np.uint8) if self.is_image else _side_by_side(parts)
        try:
            return torch.as_tensor(features, device=device)
        except Exception as error:
            raise ValueError(
                f"device: expected a device of this machine, got {device!r}."
            ) from error

    def actions(self, actions: Mapping[str, torch.Tensor], *, num_envs: int | None = None) -> Any:
        """Convert a batch of actions by head to the format that the vector environment takes.

        Continuous actions are clipped to the bounds of their space: a policy knows no bounds.

        Args:
            actions: The `.action` of a result of `get_action`.
            num_envs: The number of rows that they must have, B; None for any.

        Raises:
            TypeError: If an action is not a tensor of integers, or of floating point.
            ValueError: If a head is missing or unknown, or an action has another shape than
                `[B]` or `[B, D]`, is out of range or not finite.
        """
        by_head: dict[str, NDArray[Any]] = {}
        rows = num_envs
        for name, action in require_heads("actions", actions, self.action_dims).items():
            by_head[name] = values_of_head(name, self.action_dims[name], action, rows)
            rows = len(by_head[name])
        return environment_actions(self.action_space, by_head)


def _side_by_side(parts: list[NDArray[Any]]) -> NDArray[np.float32]:
    """Join parts `[B, n]` to a new array of float32; what is too large for it becomes infinite."""
    if len(parts) == 1 and parts[0].dtype == np.float32:
        return parts[0].copy()
    with np.errstate(over="ignore"):
        return np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")


def _require_same_rows(columns: Mapping[str, NDArray[Any]], num_envs: int | None) -> None:
    first = next(iter(columns))
    expected = f"{num_envs} rows, one for each environment"
    if num_envs is None:
        num_envs = len(columns[first])
        expected = f"{num_envs} rows as {first} has"
    for path, column in columns.items():
        if len(column) != num_envs:
            raise ValueError(f"{path}: expected {expected}, got {len(column)}.")
