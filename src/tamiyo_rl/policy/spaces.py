"""Gymnasium spaces: observations to features, actions back to the environment's format."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

OBSERVATIONS = "Box, Discrete, MultiBinary, MultiDiscrete, or Dict and Tuple of them"
ACTIONS = "Discrete, MultiDiscrete, or Dict of them (discrete actions only)"


class SpaceAdapter:
    """Converts between a Gymnasium environment and a policy, for a batch of environments.

    Args:
        observation_space: The space of one environment's observations.
        action_space: The space of one environment's actions.

    Raises:
        ValueError: If a space is of an unsupported kind, naming it.

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
        self.observation_space, self.action_space = observation_space, action_space
        self.feature_dim = _feature_dim(observation_space, "observation_space")
        self.action_dims = _action_dims(action_space, "action_space")

    def features(
        self,
        observations: Any,  # noqa: ANN401 - as the environment gives them
        device: torch.device | str | None = None,
    ) -> torch.Tensor:
        """Flatten a batch of observations to float32 features `[B, F]`; discrete ones one-hot.

        Args:
            observations: What a vector environment returns.
            device: Where the features go; None for PyTorch's default device.
        """
        columns = _columns(self.observation_space, observations)
        return torch.tensor(np.concatenate(columns, axis=1), dtype=torch.float32, device=device)

    def actions(self, by_head: dict[str, torch.Tensor]) -> Any:  # noqa: ANN401 - as the environment takes them
        """Convert a batch of actions by head to the format that the vector environment takes.

        Args:
            by_head: What `get_action` returned as `.action`.
        """
        return _environment_actions(self.action_space, {n: a.cpu() for n, a in by_head.items()})


def _feature_dim(space: gymnasium.Space[Any], path: str) -> int:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return sum(_feature_dim(sub, f"{path}[{key!r}]") for key, sub in _parts(space))
    if isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiBinary | spaces.MultiDiscrete):
        return int(spaces.flatdim(space))
    raise ValueError(f"{path}: expected {OBSERVATIONS}, got {space}.")


def _parts(space: spaces.Dict | spaces.Tuple[Any]) -> list[tuple[Any, gymnasium.Space[Any]]]:
    return list(space.items() if isinstance(space, spaces.Dict) else enumerate(space))


def _columns(space: gymnasium.Space[Any], batch: Any) -> list[NDArray[Any]]:  # noqa: ANN401 - any nesting
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return [column for key, sub in _parts(space) for column in _columns(sub, batch[key])]
    values = np.asarray(batch)
    if isinstance(space, spaces.Discrete):
        return [np.eye(int(space.n))[values - space.start]]
    if isinstance(space, spaces.MultiDiscrete):
        indices = (values - space.start).reshape(len(values), -1)
        return [np.eye(n)[indices[:, i]] for i, n in enumerate(space.nvec.flatten())]
    return [values.reshape(len(values), -1)]


def _action_dims(space: gymnasium.Space[Any], path: str) -> dict[str, int]:
    if isinstance(space, spaces.Discrete):
        return {"action": int(space.n)}
    if isinstance(space, spaces.MultiDiscrete):
        return {str(i): int(n) for i, n in enumerate(space.nvec.flatten())}
    if isinstance(space, spaces.Dict):
        parts = {key: _action_dims(sub, f"{path}[{key!r}]") for key, sub in space.items()}
        heads = [(_head(key, sub), n) for key, dims in parts.items() for sub, n in dims.items()]
        if len(dict(heads)) < len(heads):
            raise ValueError(f"{path}: expected keys that name each head once, got {list(space)}.")
        return dict(heads)
    raise ValueError(f"{path}: expected {ACTIONS}, got {space}.")


def _head(key: str, sub: str) -> str:
    return key if sub == "action" else f"{key}.{sub}"


def _environment_actions(space: gymnasium.Space[Any], by_head: dict[str, torch.Tensor]) -> Any:  # noqa: ANN401 - any nesting
    if isinstance(space, spaces.Discrete):
        return by_head["action"].numpy() + space.start
    if isinstance(space, spaces.MultiDiscrete):
        stacked = torch.stack([by_head[str(i)] for i in range(space.nvec.size)], dim=-1).numpy()
        return stacked.reshape(-1, *space.nvec.shape) + space.start
    assert isinstance(space, spaces.Dict)  # noqa: S101 - the constructor has refused all others
    return {
        key: _environment_actions(
            sub, {name: by_head[_head(key, name)] for name in _action_dims(sub, key)}
        )
        for key, sub in space.items()
    }
