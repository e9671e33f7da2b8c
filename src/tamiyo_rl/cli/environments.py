"""The environments of a command: by the id that `--env` names."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from gymnasium.vector import VectorEnv

from tamiyo_rl.training.envs.make import make_envs


def find_modules_here() -> None:
    """Let `--env module:id` find a module in the current folder, as `python -m` does."""
    here = str(Path.cwd())
    if not sys.flags.safe_path and here not in sys.path:
        sys.path.insert(0, here)


def open_envs(env: str, num_envs: int) -> VectorEnv[Any, Any, Any]:
    """Make the environments of a command.

    Args:
        env: What `--env` names.
        num_envs: How many.

    Raises:
        ValueError: If they cannot be made.
    """
    module, colon, _ = env.partition(":")
    try:
        if colon:
            importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"env: expected a module that can be imported before the colon, got {env!r}\n"
            f"  {type(error).__name__}: {error}\n"
            "  do: run the command in the folder that holds the module, or install the module"
        ) from error
    return make_envs(env, num_envs)


def reward_threshold(envs: VectorEnv[Any, Any, Any]) -> float | None:
    """Return the return at which the task counts as solved; None if nobody has said."""
    return None if envs.spec is None else envs.spec.reward_threshold
