"""The rewards and flags of one rollout, on the CPU, where the environments return them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from tamiyo_rl.checks import describe


class Returned(NamedTuple):
    """Rewards and flags of each step.

    Attributes:
        rewards: `[B, T]`.
        terminated: `[B, T]`.
        truncated: `[B, T]`.
        valid: `[B, T]`, false where a step only reset its environment.
        final: `[B, T]`, true where the buffer has the value of a final observation.
        episode_starts: `[B, T]`.
    """

    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    final: NDArray[np.bool_]
    episode_starts: NDArray[np.bool_]

    @classmethod
    def allocate(cls, shape: tuple[int, int]) -> Returned:
        """Make room for `[B, T]` steps."""
        return cls(np.zeros(shape), *(np.zeros(shape, dtype=np.bool_) for _ in range(5)))

    def store(self, step: int, *, has_final: bool, **named: ArrayLike | torch.Tensor) -> None:
        """Copy one step in; a final value counts where an episode ended.

        Args:
            step: Where in the rollout.
            has_final: Whether there are values of final observations.
            **named: One number or flag for each environment, by the name of the attribute.

        Raises:
            TypeError: If a value holds something else than numbers or flags.
            ValueError: If a value has another shape.
        """
        for name, value in named.items():
            column = getattr(self, name)[:, step]
            column[...] = value if _fits(value, column) else _as_column(name, value, column)
        final = self.final[:, step]
        if has_final:
            np.logical_or(self.terminated[:, step], self.truncated[:, step], out=final)
        else:
            final[...] = False


def _fits(value: object, column: NDArray[Any]) -> bool:
    """Tell whether a value is what an environment's step gives, which needs no other look."""
    return type(value) is np.ndarray and value.dtype == column.dtype and value.shape == column.shape


def _as_column(name: str, value: ArrayLike | torch.Tensor, column: NDArray[Any]) -> NDArray[Any]:
    """Return a value that can be written to this column."""
    array = _as_array(name, value)
    if column.dtype == np.bool_ and array.dtype != np.bool_:
        raise TypeError(f"{name}: expected bool, got {array.dtype}. Use .astype(bool).")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected numbers, got {array.dtype}.")
    if array.shape != column.shape and not (name == "valid" and array.ndim == 0):
        raise ValueError(f"{name}: expected shape {list(column.shape)}, got {list(array.shape)}.")
    return array


def _as_array(name: str, value: ArrayLike | torch.Tensor) -> NDArray[Any]:
    try:
        if isinstance(value, torch.Tensor):
            is_flag = value.dtype == torch.bool
            return value.detach().to("cpu", torch.bool if is_flag else torch.float64).numpy()
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: expected numbers, got {describe(value)}.") from error
