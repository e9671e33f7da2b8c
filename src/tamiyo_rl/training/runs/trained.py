"""What a run has trained so far: by its folder, or by the file of its policy."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from tamiyo_rl.training.runs.checkpoint import load_checkpoint_policy
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.policy import SavedPolicy, load_policy
from tamiyo_rl.training.runs.settings import RunSettings
from tamiyo_rl.training.storage.files import as_path


class Trained(NamedTuple):
    """A policy, and the run that it comes from.

    Attributes:
        path: The file that was loaded.
        policy: The policy.
        settings: Of the run; None for a file that does not lie in the folder of one.
    """

    path: Path
    policy: SavedPolicy
    settings: RunSettings | None

    def task(self, env: str | None) -> RunSettings:
        """Return settings whose environments the policy plays.

        Args:
            env: Another environment than that of the run: in the wrappers of the run, as the
                policy knows its observations, and without its keyword arguments; None for its own.

        Raises:
            ValueError: If there is neither.
        """
        if env is not None:
            return replace(self.settings or RunSettings(), env=env, env_kwargs={})
        if self.settings is None:
            raise ValueError(
                f"env: expected the environment that {self.path} plays, got none, and no run "
                "beside the file. Pass --env."
            )
        return self.settings


def load_trained(run: str | os.PathLike[str]) -> Trained:
    """Load the newest checkpoint of a run, or a saved policy.

    Args:
        run: Folder of a run, finished or not; or a saved policy.

    Raises:
        ValueError: If it is neither, or the run is before its first checkpoint.
    """
    path = as_path("run", run)
    if path.is_file():
        return Trained(path, load_policy(path), _settings_beside(path))
    folder = RunFolder(path)
    settings = RunSettings.read(folder.config)
    checkpoint = folder.require_checkpoint()
    return Trained(checkpoint, load_checkpoint_policy(checkpoint), settings)


def _settings_beside(path: Path) -> RunSettings | None:
    """Return the settings of the run in whose folder a file lies, if it is one."""
    with suppress(ValueError):
        return RunSettings.read(RunFolder(path.parent).config)
    return None
