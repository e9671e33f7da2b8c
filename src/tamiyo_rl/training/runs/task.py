"""The environments of a run, by what its settings say in words."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from typing import Any

from gymnasium.vector import VectorEnv

from tamiyo_rl.training.envs.make import make_envs
from tamiyo_rl.training.runs.settings import RunSettings

Wrapper = Callable[[Any], Any]


def make_task(
    settings: RunSettings, num_envs: int, *, around: Sequence[Wrapper] = ()
) -> VectorEnv[Any, Any, Any]:
    """Make environments as a run trains in.

    Args:
        settings: Of the run.
        num_envs: How many are stepped together.
        around: Further wrappers, around those of the settings.

    Raises:
        ValueError: If they cannot be made, or a wrapper cannot be found.
    """
    vectorization = settings.vectorization
    more = dict(settings.env_kwargs)
    if wrappers := [*map(_find_wrapper, settings.wrappers), *around]:
        vectorization = vectorization or "sync"  # a native one has nothing to wrap
        more["wrappers"] = wrappers
    return make_envs(settings.env, num_envs, vectorization=vectorization, **more)


def _find_wrapper(path: str) -> Wrapper:
    try:
        wrapper: Wrapper = pkgutil.resolve_name(path)
    except (ValueError, ImportError, AttributeError) as error:
        raise ValueError(
            "wrappers: expected module:Wrapper, such as gymnasium.wrappers:TimeAwareObservation, "
            f"got {path!r}\n  {type(error).__name__}: {error}"
        ) from error
    if ":" not in path or not callable(wrapper):
        raise ValueError(
            "wrappers: expected module:Wrapper, such as gymnasium.wrappers:TimeAwareObservation, "
            f"got {path!r}."
        )
    return wrapper
