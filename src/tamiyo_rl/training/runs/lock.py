"""The lock on a run folder: one training writes there at a time."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"
HOLDER = ".lock-holder"


@contextmanager
def lock_run(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other trainings out of a folder; the system lets go of the lock when a process ends.

    Args:
        folder: The run folder; it is made if need be.

    Raises:
        ValueError: If another training holds the lock, naming its process and machine.

    Examples:
        ```python
        from tamiyo_rl.training.runs.lock import lock_run

        with lock_run("run"):
            print("nobody else writes here")
        ```

        ```text
        nobody else writes here
        ```
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    holder = path / HOLDER
    try:
        lock = FileLock(path / LOCK).acquire(blocking=False)
    except Timeout:
        raise ValueError(
            f"{path}: expected a folder that no other training uses, got the folder of "
            f"{_name_of(holder)}\n  do: wait until that has ended, or pass another folder"
        ) from None
    with lock:
        holder.write_text(f"process {os.getpid()} on {platform.node()}", "utf-8")
        try:
            yield
        finally:
            holder.unlink(missing_ok=True)


def _name_of(holder: Path) -> str:
    """Return who holds the lock; the holder writes its name after it has the lock."""
    with suppress(OSError, ValueError):
        return holder.read_text("utf-8") or "another process"
    return "another process"
