"""The environments of a run, by what its settings say in words."""

from __future__ import annotations

import pkgutil
from typing import Any

from gymnasium.vector import VectorEnv

from tamiyo_rl.training.envs.make import make_envs
from tamiyo_rl.training.runs.settings import RunSettings


def make_task(settings: RunSettings, num_envs: int) -> VectorEnv[Any, Any, Any]:
    """Make environments as a run trains in.

    Args:
        settings: Of the run.
        num_envs: How many are stepped together.

    Raises:
        ValueError: If they cannot be made, or a wrapper cannot be found.
    """
    if not settings.wrappers:
        return make_envs(
            settings.env, num_envs, vectorization=settings.vectorization, **settings.env_kwargs
        )
    return make_envs(
        settings.env,
        num_envs,
        vectorization=settings.vectorization or "sync",  # a native one has nothing to wrap
        wrappers=[_find_wrapper(path) for path in settings.wrappers],
        **settings.env_kwargs,
    )


def _find_wrapper(path: str) -> Any:
    try:
        wrapper = pkgutil.resolve_name(path)
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
