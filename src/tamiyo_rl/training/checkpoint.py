"""Checkpoints of a training: the last good ones, from any of which it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tamiyo_rl.training.distributed import rank
from tamiyo_rl.training.recurrent_ppo import RecurrentPPO
from tamiyo_rl.training.saved_file import read_saved, write_saved
from tamiyo_rl.training.saved_policy import policy_content
from tamiyo_rl.training.versions import versions

FORMAT = 1
PATTERN = "checkpoint-*.pt"


def save_checkpoint(folder: Path, trainer: RecurrentPPO, *, keep: int = 3) -> Path:
    """Write a checkpoint, and then remove all but the newest ones.

    A file appears under its name only once it is whole and on the disk. Where several processes
    train, all of them call, and the first one writes.

    Args:
        folder: Of the checkpoints.
        trainer: Between two updates.
        keep: How many checkpoints stay.

    Returns:
        The file.

    Raises:
        OSError: If it cannot be written; the checkpoints of before are all there.

    Examples:
        ```python
        from pathlib import Path
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import (
            PPOConfig, RecurrentPPO, load_checkpoint, make_cartpole_without_velocities,
            newest_checkpoint, save_checkpoint,
        )


        def make_trainer():
            envs = make_cartpole_without_velocities(num_envs=8)
            bundle = LSTMPolicyBundle.from_spaces(
                envs.single_observation_space, envs.single_action_space, hidden_dim=8
            )
            config = PPOConfig(total_steps=600, num_steps=32, sequence_length=8, epochs=1)
            return RecurrentPPO(envs, bundle, config)


        trainer = make_trainer()
        for report in trainer.train():
            save_checkpoint(Path("run"), trainer)
            if report.steps == 256:
                break

        resumed = make_trainer()
        load_checkpoint(newest_checkpoint(Path("run")), resumed)
        print([report.steps for report in resumed.train()])
        ```

        ```text
        [512]
        ```
    """
    path = folder / f"checkpoint-{trainer.steps:012d}.pt"
    content = {"versions": versions(), "trainer": trainer.state_dict()}
    if rank() == 0:
        content["policy"] = policy_content(trainer.bundle, trainer.normalizer)
        write_saved(path, content, kind="checkpoint", version=FORMAT)
        for old in sorted(folder.glob(PATTERN))[:-keep]:
            old.unlink()
    return path


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint in a folder; None if there is none."""
    return max(folder.glob(PATTERN), default=None)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, of another kind or of another format, naming the file and
            the reason.
    """
    return read_saved(path, kind="checkpoint", version=FORMAT)


def load_checkpoint(path: Path, trainer: RecurrentPPO) -> None:
    """Load a checkpoint into a trainer, whose `train()` goes on from there.

    Args:
        path: What `save_checkpoint` returned.
        trainer: Built as the one that was saved.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no checkpoint, or one of another training, naming the file and
            the reason.
    """
    content = read_checkpoint(path)
    try:
        trainer.load_state_dict(content["trainer"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{path}: expected a checkpoint of this training, got {type(error).__name__}: {error}"
            "\n  do: build the trainer with the settings and environments that it was saved with"
        ) from error
