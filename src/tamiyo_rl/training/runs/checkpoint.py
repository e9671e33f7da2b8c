"""Checkpoints of a training, which goes on from any of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tamiyo_rl.checks import require_positive
from tamiyo_rl.training.distributed import rank, world_size
from tamiyo_rl.training.ppo.trainer import RecurrentPPO
from tamiyo_rl.training.runs.policy import SavedPolicy, build_policy, policy_sizes
from tamiyo_rl.training.storage.files import as_path, read_saved, write_saved

FORMAT = 2
PATTERN = "checkpoint-*.pt"


def save_checkpoint(
    folder: str | os.PathLike[str], trainer: RecurrentPPO, *, keep: int = 3
) -> Path:
    """Write a checkpoint, and then remove all but those that were written last.

    A file appears under its name only once it is whole and on the disk. Where several processes
    train, all of them call, and the first one writes.

    Args:
        folder: Of the checkpoints of one training.
        trainer: Between two updates.
        keep: How many checkpoints stay, this one among them; at least 1.

    Returns:
        The file.

    Raises:
        TypeError: If `folder` is not a path, or `trainer` is not a `RecurrentPPO`.
        ValueError: If `keep` is not an int of at least 1.
        OSError: If it cannot be written; the checkpoints of before are all there.

    Examples:
        ```python
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import (
            PPOConfig, RecurrentPPO, latest_checkpoint, load_checkpoint, make_envs,
            save_checkpoint,
        )


        def make_trainer():
            envs = make_envs(num_envs=8)
            bundle = LSTMPolicyBundle.from_spaces(
                envs.single_observation_space, envs.single_action_space, hidden_dim=8
            )
            config = PPOConfig(total_steps=600, num_steps=32, sequence_length=8, epochs=1)
            return RecurrentPPO(envs, bundle, config)


        trainer = make_trainer()
        for report in trainer.train():
            save_checkpoint("run", trainer)
            if report.steps == 256:
                break

        resumed = make_trainer()
        load_checkpoint(latest_checkpoint("run"), resumed)
        print([report.steps for report in resumed.train()])
        ```

        ```text
        [512]
        ```
    """
    _require_trainer(trainer)
    require_positive(keep=keep)
    path = as_path("folder", folder) / f"checkpoint-{trainer.steps:012d}.pt"
    content = {
        "versions": versions(),
        "environment": _environment(trainer),
        "trainer": trainer.state_dict(),
    }
    if rank() == 0:
        content["policy"] = policy_sizes(trainer.bundle)
        write_saved(path, content, kind="checkpoint", version=FORMAT)
        for old in _last_written_first(path.parent, path)[keep:]:
            old.unlink(missing_ok=True)
    return path


def latest_checkpoint(folder: str | os.PathLike[str]) -> Path | None:
    """Return the checkpoint that was written last in a folder; None if there is none.

    Args:
        folder: Of the checkpoints of one training.

    Raises:
        TypeError: If it is not a path.
    """
    return next(iter(_last_written_first(as_path("folder", folder))), None)


def _last_written_first(folder: Path, just_written: Path | None = None) -> list[Path]:
    """Sort by the time of writing: a training can go on from fewer steps than the folder has."""

    def age(path: Path) -> tuple[bool, int, str]:
        return path == just_written, _time_of(path), path.name

    return sorted(folder.glob(PATTERN), key=age, reverse=True)


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # the training that writes here has just removed it
        return 0


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, of another kind or of another format, naming the file and
            the reason.
    """
    return read_saved(path, kind="checkpoint", version=FORMAT)


def load_checkpoint_policy(path: str | os.PathLike[str]) -> SavedPolicy:
    """Load the policy of a checkpoint; errors as `load_policy`.

    Args:
        path: What `save_checkpoint` returned.
    """
    content = read_checkpoint(path)
    trainer = content["trainer"]
    normalizer = trainer["processes"][0]["collector"]["normalizer"]
    tensors = {"parameters": trainer["policy"], "normalizer": normalizer}
    return build_policy(path, content["policy"] | tensors)


def load_checkpoint(path: str | os.PathLike[str], trainer: RecurrentPPO) -> None:
    """Load a checkpoint into a trainer, whose `train()` goes on from there.

    Args:
        path: What `save_checkpoint` returned.
        trainer: Built as the one that was saved.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `path` is not a path, or `trainer` is not a `RecurrentPPO`.
        ValueError: If the file is not a checkpoint, or is one of another training, naming the
            file and the reason.
    """
    _require_trainer(trainer)
    if path is None:
        raise TypeError(
            "path: expected a checkpoint, got None. latest_checkpoint() returns None where the "
            "folder has no checkpoint: begin a new training there."
        )
    content = read_checkpoint(path)
    try:
        _require_same("envs", content["environment"], _environment(trainer))
        _require_same("bundle", content["policy"]["settings"], _settings(trainer))
        trainer.load_state_dict(content["trainer"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{path}: expected a checkpoint of this training, got {type(error).__name__}: {error}"
            "\n  do: build the trainer with the settings and environments that it was saved with"
        ) from error


def _require_trainer(trainer: object) -> None:
    if not isinstance(trainer, RecurrentPPO):
        raise TypeError(f"trainer: expected a RecurrentPPO, got {type(trainer).__name__}.")


def _environment(trainer: RecurrentPPO) -> dict[str, Any]:
    """Describe the environments of all processes by what another training can differ in."""
    spec = trainer.envs.spec
    return {
        "env": None if spec is None else spec.id,
        "num_envs": trainer.envs.num_envs * world_size(),
        "feature_dim": trainer.bundle.feature_dim,
        "action_dims": repr(dict(trainer.bundle.action_dims)),
    }


def _settings(trainer: RecurrentPPO) -> dict[str, Any]:
    """Return what builds the policy, if it is one that can be built again."""
    settings: dict[str, Any] = policy_sizes(trainer.bundle)["settings"] or {}
    return settings


def _require_same(what: str, saved: Mapping[str, Any] | None, own: Mapping[str, Any]) -> None:
    """Refuse what differs by its name: the environments first, as most settings follow them."""
    for name, value in (saved or {}).items():
        if value != own.get(name):
            raise ValueError(
                f"{what}: expected {name}={value} as when it was saved, got {own.get(name)}."
            )


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    packages = {name: version(name) for name in ("tamiyo-rl", "gymnasium", "numpy")}
    # Its metadata lacks the part that tells a build for the CPU from one for CUDA.
    build = str(torch.__version__)
    return {"python": platform.python_version(), "torch": build} | packages
