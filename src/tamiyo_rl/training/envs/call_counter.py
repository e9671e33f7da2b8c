"""Count the calls of a vector environment, to notice when somebody else steps it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from gymnasium.vector import VectorEnv


class CountedMethod:
    """A method that counts its calls; a deep copy of its environment counts its own.

    Args:
        method: The method.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        functools.update_wrapper(self, method)
        self._method = method
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method."""
        self.calls += 1
        return self._method(*args, **kwargs)


class CallCounter:
    """Counts who resets or steps a vector environment, through whichever wrapper.

    Nothing in Gymnasium's interface tells how far an environment is. So `reset` and `step` of the
    innermost environment are replaced, only on that object, by methods that count and do the same.

    Args:
        envs: The vector environment.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any]) -> None:
        self._reset = _counted(envs.unwrapped, "reset")
        self._step = _counted(envs.unwrapped, "step")

    @property
    def calls(self) -> int:
        """Calls of anybody so far."""
        return self._reset.calls + self._step.calls


def _counted(envs: VectorEnv[Any, Any, Any], name: str) -> CountedMethod:
    method = getattr(envs, name)
    if not isinstance(method, CountedMethod):
        method = CountedMethod(method)
        setattr(envs, name, method)
    return method
