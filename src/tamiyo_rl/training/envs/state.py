"""The state of environments that offer `get_state()` and `set_state(state)`."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from gymnasium.vector import VectorEnv


@runtime_checkable
class Restorable(Protocol):
    """A vector environment that tells where its episodes stand, and can go on from there."""

    def get_state(self) -> Any:
        """Return the state: numbers, strings, tensors, and lists, tuples and dicts of them."""

    def set_state(self, state: Any) -> None:
        """Go on from a state that `get_state()` returned."""


class NoStateError(ValueError):
    """The environments do not tell their state, so that it can be neither saved nor restored."""


def environment_state(envs: VectorEnv[Any, Any, Any]) -> Any:
    """Return a copy of the state of a vector environment.

    Args:
        envs: The environment; it has the methods `get_state()` and `set_state(state)`.

    Raises:
        NoStateError: If it has no such methods.
        TypeError: If the state holds what a checkpoint cannot hold, naming it.

    Examples:
        ```python
        import numpy as np
        from tamiyo_rl.training import make_envs
        from tamiyo_rl.training.envs.state import environment_state, restore_environment

        envs = make_envs(num_envs=3)
        envs.reset(seed=0)
        saved = environment_state(envs)
        after = [envs.step(np.ones(3, dtype=np.int64))[0] for _ in range(50)]

        restored = make_envs(num_envs=3)
        restore_environment(restored, saved)
        again = [restored.step(np.ones(3, dtype=np.int64))[0] for _ in range(50)]
        print(np.array_equal(after, again))
        ```

        ```text
        True
        ```
    """
    return _copy("envs.get_state()", _require_restorable(envs).get_state())


def restore_environment(envs: VectorEnv[Any, Any, Any], state: Any) -> None:
    """Put a state back into a vector environment that was built alike.

    Args:
        envs: The environment.
        state: What `environment_state` returned.

    Raises:
        NoStateError: If the environment has no method to set a state.
    """
    _require_restorable(envs).set_state(_copy("state", state))


def _require_restorable(envs: object) -> Restorable:
    if isinstance(envs, Restorable):
        return envs
    raise NoStateError(
        "envs: expected environments with get_state() and set_state(state), got "
        f"{type(envs).__name__}. Without them a training goes on with new episodes."
    )


def _copy(name: str, value: Any) -> Any:
    """Return a copy of plain data; whoever gave it may go on to write into it."""
    if value is None or type(value) in {bool, int, float, str}:
        return value
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if type(value) in {list, tuple}:
        return type(value)(_copy(f"{name}[{i}]", item) for i, item in enumerate(value))
    if type(value) is dict:
        return {key: _copy(f"{name}[{key!r}]", item) for key, item in value.items()}
    raise TypeError(
        f"{name}: expected a number, a string, a tensor, or a list, tuple or dict of them, got "
        f"{type(value).__name__}. Convert it: torch.from_numpy() takes an array."
    )
