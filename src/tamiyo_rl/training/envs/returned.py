"""Convert what a vector environment returned, or refuse it by its name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamiyo_rl.checks import describe

KEYS = "action_mask", "final_obs"  # all that is read of an info
# No number whose square is in such a sum is too large for float32.
SQUARES_THAT_FIT = {np.dtype(np.float64): 1e76, np.dtype(np.float32): math.inf}


def require_items(method: str, returned: object, names: tuple[str, ...]) -> tuple[Any, ...]:
    """Return what a method of the environments returned, if it has as many items as names."""
    if not isinstance(returned, tuple) or len(returned) != len(names):
        raise TypeError(
            f"envs: expected {method}() to return ({', '.join(names)}), got {describe(returned)}."
        )
    return returned


def read_flags(name: str, values: object, num_envs: int) -> NDArray[np.bool_]:
    """Return flags `[B]` as a copy; numbers that are all 0 or 1 are flags too.

    Args:
        name: What the environment returned.
        values: One flag for each environment.
        num_envs: Environments, B.

    Raises:
        TypeError: If they are not flags or numbers.
        ValueError: If they have another shape, or a number is neither 0 nor 1.
    """
    row = _row(name, values, num_envs)
    if row.dtype == np.bool_:
        return row
    flags: NDArray[np.bool_] = row == 1
    wrong = np.flatnonzero(~flags & (row != 0))
    if wrong.size:
        raise ValueError(
            f"{name}: expected True or False for each environment, got {row[wrong[0]]} from "
            f"environment {wrong[0]}. Return an array of bool."
        )
    return flags


def read_rewards(values: object, num_envs: int, step: int) -> NDArray[np.float64]:
    """Return rewards `[B]` as a copy.

    Args:
        values: One reward for each environment.
        num_envs: Environments, B.
        step: Number of the step since the reset.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If they have another shape, or one is not finite in float32.
    """
    rewards = _row("rewards", values, num_envs).astype(np.float64, copy=False)
    require_finite("rewards", rewards, step)
    return rewards


def read_info(info: object, num_envs: int) -> Mapping[str, Any]:
    """Return an info as a dict, whether it came as a dict or as a list of dicts.

    Args:
        info: What the environments returned.
        num_envs: Environments, B.

    Raises:
        TypeError: If it is neither.
    """
    if type(info) is dict or isinstance(info, Mapping):
        return info
    if (
        not isinstance(info, Sequence)
        or len(info) != num_envs
        or not all(isinstance(own, Mapping) for own in info)
    ):
        raise TypeError(
            f"info: expected a dict, or a list of {num_envs} dicts, one for each environment, got "
            f"{describe(info)}."
        )
    given = [key for key in KEYS if any(key in own for own in info)]
    return {key: as_rows([own.get(key) for own in info]) for key in given}


def as_rows(values: Sequence[Any]) -> NDArray[np.object_]:
    """Keep the values of the environments apart, whatever their nesting, `[B]`."""
    rows = np.empty(len(values), dtype=object)
    rows[:] = values
    return rows


def batch_of_one(value: Any) -> Any:
    """Make a batch of what one environment gave."""
    if isinstance(value, Mapping):
        return {key: batch_of_one(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(batch_of_one(part) for part in value)
    return None if value is None else np.asarray(value)[None]


def require_finite(name: str, values: NDArray[Any], step: int, environment: int = 0) -> None:
    """Raise where an environment returned NaN, infinity, or a number too large for float32.

    Args:
        name: What the environment returned.
        values: `[B, ...]`.
        step: Number of the step since the reset, in each environment.
        environment: That of the first row.

    Raises:
        ValueError: Naming the first such environment, and the step.
    """
    place = not_float32(values)
    if place is not None:
        raise ValueError(
            f"{name}: expected finite numbers of float32, got {values[place]} from environment "
            f"{environment + place[0]} at step {step}\n  do: find out why the environment returns "
            "it; nothing was stored or trained from this step"
        )


def not_float32(values: NDArray[Any]) -> tuple[int, ...] | None:
    """Return the place of the first number that is not finite in float32; None if all are."""
    if values.dtype.kind in "bui":
        return None
    largest = SQUARES_THAT_FIT.get(values.dtype)
    if largest is not None and np.vdot(values, values) < largest:
        return None  # several times faster than to look at each number
    with np.errstate(over="ignore"):
        finite = np.isfinite(values.astype(np.float32, copy=False))
    return None if finite.all() else tuple(np.argwhere(~finite)[0].tolist())


def _row(name: str, values: object, num_envs: int) -> NDArray[Any]:
    """Return a copy of one number or flag for each environment, `[B]`."""
    if type(values) is np.ndarray and values.shape == (num_envs,) and values.dtype.kind in "biuf":
        return values.copy()
    try:
        row = np.array(values)
        row = np.array(row.tolist()) if row.dtype == object else row
    except Exception as error:
        raise TypeError(f"{name}: expected an array of numbers, got {describe(values)}.") from error
    if row.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected an array of numbers, got {row.dtype}.")
    if row.shape != (num_envs,):
        raise ValueError(
            f"{name}: expected shape [{num_envs}], one for each environment, got {list(row.shape)}."
        )
    return row
