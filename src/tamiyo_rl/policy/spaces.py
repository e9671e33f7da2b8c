"""Gymnasium spaces: observations to features, actions back to the environment's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from tamiyo_rl.checks import FLOAT_DTYPES, describe, require_shape
from tamiyo_rl.policy.action_dims import Gaussian
from tamiyo_rl.policy.image_encoder import ImageEncoder
from tamiyo_rl.policy.inputs import INDEX_DTYPES, require_heads

OBSERVATIONS = "Box, Discrete, MultiBinary, MultiDiscrete, or Dict and Tuple of them"
ACTIONS = "Box, Discrete, MultiDiscrete, or Dict and Tuple of them"


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
        self.feature_dim = _feature_dim(observation_space, "observation_space")
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
            columns = _columns(self.observation_space, observations, name)
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
            by_head[name] = _values_of_head(name, self.action_dims[name], action, rows)
            rows = len(by_head[name])
        return _environment_actions(self.action_space, by_head)


def is_image(space: gymnasium.Space[Any]) -> bool:
    """Tell whether a space is one of images: a Box of uint8 from 0 to 255 in three dimensions."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) != 3:
        return False
    return bool((space.low == 0).all() and (space.high == 255).all())


def make_image_encoder(space: gymnasium.Space[Any]) -> ImageEncoder:
    """Make the encoder for a space of images.

    Args:
        space: The space of one environment's observations.

    Raises:
        ValueError: If it is no space of images, or they are too small.
    """
    if not is_image(space):
        raise ValueError(
            'encoder: expected images for "cnn", a Box of uint8 from 0 to 255 with three '
            f"dimensions, got {space}. Leave it out, or pass a module."
        )
    return ImageEncoder(space.shape or ())


def _feature_dim(space: gymnasium.Space[Any], path: str) -> int:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return sum(_feature_dim(sub, f"{path}[{key!r}]") for key, sub in _parts(space))
    if isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiBinary | spaces.MultiDiscrete):
        return int(spaces.flatdim(space))
    raise ValueError(f"{path}: expected {OBSERVATIONS}, got {space}.")


def _parts(space: spaces.Dict | spaces.Tuple[Any]) -> list[tuple[Any, gymnasium.Space[Any]]]:
    return list(space.items() if isinstance(space, spaces.Dict) else enumerate(space))


def _columns(
    space: gymnasium.Space[Any],
    batch: Any,
    path: str,
) -> dict[str, NDArray[Any]]:
    """Return the features `[B, n]` of each part of the observations, by its path."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        _require_parts(space, batch, path)
        parts = [_columns(sub, batch[key], f"{path}[{key!r}]") for key, sub in _parts(space)]
        return {name: column for part in parts for name, column in part.items()}
    values = _values(space, batch, path)
    if isinstance(space, spaces.Discrete):
        return {path: _one_hot(_indices(path, values, space.start, space.n), [space.n])}
    if isinstance(space, spaces.MultiDiscrete):
        return {path: _one_hot(_indices(path, values, space.start, space.nvec), space.nvec)}
    return {path: values.reshape(len(values), int(np.prod(space.shape or 1)))}


def _require_parts(space: spaces.Dict | spaces.Tuple[Any], batch: object, path: str) -> None:
    keys = [key for key, _ in _parts(space)]
    got: object = type(batch).__name__
    if isinstance(space, spaces.Dict) and isinstance(batch, Mapping):
        got = list(batch)
    elif isinstance(space, spaces.Tuple) and isinstance(batch, tuple | list):
        got = list(range(len(batch)))
    if got != keys and (not isinstance(got, list) or set(got) != set(keys)):
        raise TypeError(f"{path}: expected the parts {keys} of the space, got {got}.")


def _values(space: gymnasium.Space[Any], batch: object, path: str) -> NDArray[Any]:
    """Return the values of a batch of one space, `[B, *shape]`."""
    try:
        values: NDArray[Any] = np.asarray(batch)
    except Exception as error:
        raise TypeError(f"{path}: expected an array, got {describe(batch)}.") from error
    counted = isinstance(space, spaces.Discrete | spaces.MultiDiscrete)
    expected, kinds = ("integers", "biu") if counted else ("real numbers", "biuf")
    if values.dtype.kind not in kinds or values.dtype.itemsize > 8:
        raise TypeError(f"{path}: expected {expected} for {space}, got {values.dtype}.")
    if not values.ndim or values.shape[1:] != space.shape:
        wanted = ", ".join(map(str, ("B", *(space.shape or ()))))
        raise ValueError(f"{path}: expected shape [{wanted}], got {list(values.shape)}.")
    return values


def _indices(
    path: str, values: NDArray[Any], start: int | NDArray[Any], n: int | NDArray[Any]
) -> NDArray[Any]:
    """Count the values from 0, or raise if a value is out of range: NumPy takes -1 for the last."""
    first = np.asarray(start, dtype=np.int64)
    indices: NDArray[Any] = values.astype(np.int64) - first
    wrong = indices.view(np.uint64) >= np.asarray(n, dtype=np.uint64)  # -1 is the largest there
    if wrong.any():
        last = first + (np.asarray(n, dtype=np.int64) - 1)
        place = tuple(np.argwhere(wrong)[0].tolist())
        least, most = (np.broadcast_to(end, values.shape)[place] for end in (first, last))
        raise ValueError(
            f"{path}: expected indices from {least} to {most}, got {values[place]} at index "
            f"{list(place)}."
        )
    return indices


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


def _one_hot(indices: NDArray[Any], sizes: ArrayLike) -> NDArray[Any]:
    """Encode each index of a row one-hot, in as many columns as the index has values."""
    flat = np.ravel(sizes)
    rows = np.zeros((len(indices), flat.sum()))
    columns = indices.reshape(len(indices), flat.size) + np.cumsum(flat) - flat
    np.put_along_axis(rows, columns, 1, axis=1)
    return rows


def _values_of_head(
    name: str, dims: int | Gaussian, action: object, rows: int | None
) -> NDArray[Any]:
    path = f'actions["{name}"]'
    if isinstance(dims, Gaussian):
        return _numbers(path, action, rows, dims)
    return _choices(path, action, rows, dims)


def _choices(path: str, value: object, rows: int | None, n: int) -> NDArray[Any]:
    """Return the indices that a categorical head chose, `[B]`."""
    action = require_shape(path, value, {"batch": rows})
    _require_values(path, action, INDEX_DTYPES, "integers")
    return _indices(path, action.long().cpu().numpy(), 0, n)


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
        keys = [key for key, _ in _parts(space)]
        if isinstance(space, spaces.Dict) and not all(isinstance(key, str) for key in keys):
            raise TypeError(f"{path}: expected keys that are strings, got {keys}.")
        parts = {key: action_dims_of(sub, f"{path}[{key!r}]") for key, sub in _parts(space)}
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


def _environment_actions(space: gymnasium.Space[Any], by_head: Mapping[str, NDArray[Any]]) -> Any:
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
        key: _environment_actions(
            sub, {name: by_head[_head(key, name)] for name in action_dims_of(sub, str(key))}
        )
        for key, sub in _parts(space)
    }
    return taken if isinstance(space, spaces.Dict) else tuple(taken.values())
