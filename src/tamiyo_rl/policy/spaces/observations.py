"""Observations of a space as features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from tamiyo_rl.checks import describe
from tamiyo_rl.policy.image_encoder import ImageEncoder
from tamiyo_rl.policy.spaces.indices import indices
from tamiyo_rl.policy.spaces.parts import parts_of

OBSERVATIONS = "Box, Discrete, MultiBinary, MultiDiscrete, or Dict and Tuple of them"


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


def feature_dim_of(space: gymnasium.Space[Any], path: str) -> int:
    """Count the features of an observation, or raise where the space is of no supported kind."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return sum(feature_dim_of(sub, f"{path}[{key!r}]") for key, sub in parts_of(space))
    if isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiBinary | spaces.MultiDiscrete):
        return int(spaces.flatdim(space))
    raise ValueError(f"{path}: expected {OBSERVATIONS}, got {space}.")


def columns_of(
    space: gymnasium.Space[Any],
    batch: Any,
    path: str,
) -> dict[str, NDArray[Any]]:
    """Return the features `[B, n]` of each part of the observations, by its path."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        _require_parts(space, batch, path)
        parts = [columns_of(sub, batch[key], f"{path}[{key!r}]") for key, sub in parts_of(space)]
        return {name: column for part in parts for name, column in part.items()}
    values = _values(space, batch, path)
    if isinstance(space, spaces.Discrete):
        return {path: _one_hot(indices(path, values, space.start, space.n), [space.n])}
    if isinstance(space, spaces.MultiDiscrete):
        return {path: _one_hot(indices(path, values, space.start, space.nvec), space.nvec)}
    return {path: values.reshape(len(values), int(np.prod(space.shape or 1)))}


def _require_parts(space: spaces.Dict | spaces.Tuple[Any], batch: object, path: str) -> None:
    keys = [key for key, _ in parts_of(space)]
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


def _one_hot(indices: NDArray[Any], sizes: ArrayLike) -> NDArray[Any]:
    """Encode each index of a row one-hot, in as many columns as the index has values."""
    flat = np.ravel(sizes)
    rows = np.zeros((len(indices), flat.sum()))
    columns = indices.reshape(len(indices), flat.size) + np.cumsum(flat) - flat
    np.put_along_axis(rows, columns, 1, axis=1)
    return rows
