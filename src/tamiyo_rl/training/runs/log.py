"""The logs of a run, with the figures of each update: as CSV, and for TensorBoard."""

from __future__ import annotations

import csv
import io
import math
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from tamiyo_rl.training.ppo.diagnostics import UpdateReport
from tamiyo_rl.training.storage.files import as_path, replace_file

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

STEPS = "time/total_timesteps"  # names in the log
RETURN = "rollout/ep_rew_mean"
EVALUATED = "eval/mean_reward"
DAMAGED = ".damaged"


class _Log(ABC):
    """A log that `with` closes."""

    @abstractmethod
    def add(self, report: UpdateReport) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TrainingLog(_Log):
    """Writes one line for each update to a CSV file, at once on the disk.

    The checkpoints say where a training stands, so a log that is damaged stops nothing: its
    readable lines stay, and a copy of the file as it was is kept beside it.

    Args:
        path: The file.
        after: Steps of the checkpoint from which the training goes on: later lines are dropped,
            since they come again.

    Attributes:
        repaired: What was done to a damaged file, in a sentence; None for a whole one.
    """

    def __init__(self, path: str | os.PathLike[str], *, after: int = 0) -> None:
        self._path = as_path("path", path)
        found = _read(self._path)
        self.repaired = self._keep_copy(found.unreadable) if found.unreadable else None
        kept = [line for line, row in found.lines if row[STEPS] <= after]
        self._names = found.names if kept else []
        head = _as_csv(self._names, [], header=True) if kept else b""
        replace_file(self._path, head + "".join(kept).encode())
        self._file = self._path.open("ab")

    def add(self, report: UpdateReport) -> None:
        """Write one report, after the names of its figures if it is the first."""
        row = report.scalars()
        begins = not self._names
        self._names = self._names or list(row)
        self._file.write(_as_csv(self._names, [row], header=begins))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _keep_copy(self, unreadable: int) -> str:
        copy = self._path.with_name(self._path.name + DAMAGED)
        replace_file(copy, self._path.read_bytes())
        return (
            f"{self._path}: {unreadable} damaged {'line' if unreadable == 1 else 'lines'} dropped; "
            f"{copy} is the file as it was"
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: str | os.PathLike[str]) -> list[dict[str, float]]:
    """Return the figures of each update, by name; lines that cannot be read are left out.

    Args:
        path: The file; there are no figures if there is no file.
    """
    return [row for _, row in _read(as_path("path", path)).lines]


def best_evaluation(log: list[dict[str, float]]) -> float:
    """Return the highest mean return of an evaluation; minus infinity before the first.

    Args:
        log: What `read_log` returned.
    """
    means = [row[EVALUATED] for row in log if not math.isnan(row.get(EVALUATED, math.nan))]
    return max(means, default=-math.inf)


class _Found(NamedTuple):
    names: list[str]
    lines: list[tuple[str, dict[str, float]]]
    unreadable: int


def _read(path: Path) -> _Found:
    """Read what can be read; a last line that was cut off is a write that was interrupted."""
    if not path.exists():
        return _Found([], [], 0)
    text = path.read_text("utf-8", errors="replace")
    head, *lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")] or [""]
    names = next(csv.reader([head]), [])
    if {STEPS, RETURN} - set(names):
        return _Found([], [], len(lines) + bool(head))
    rows = [_row(names, line) for line in lines]
    whole = [(line, row) for line, row in zip(lines, rows, strict=True) if row]
    return _Found(names, whole, rows.count(None))


def _row(names: list[str], line: str) -> dict[str, float] | None:
    """Return the figures of a line; None if it is not one number for each name."""
    try:
        row = dict(zip(names, map(float, next(csv.reader([line]), [])), strict=True))
    except (ValueError, csv.Error):
        return None
    return row if math.isfinite(row[STEPS]) else None


def _as_csv(names: list[str], rows: list[dict[str, float]], *, header: bool) -> bytes:
    """Return these columns of the rows, NaN where a row has no such figure."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, math.nan, "ignore", lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


class TensorBoardLog(_Log):
    """Writes `UpdateReport.scalars()` for TensorBoard, over the environment steps.

    Args:
        folder: Where the event file goes.
        after: Steps of the checkpoint from which the training goes on: what an earlier file says
            of later ones is not shown.

    Raises:
        TypeError: If `folder` is not a path.
        ImportError: If TensorBoard is not installed.

    Examples:
        ```python
        from pathlib import Path
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import PPOConfig, RecurrentPPO, TensorBoardLog, make_envs

        envs, bundle = make_envs(num_envs=8), LSTMPolicyBundle(feature_dim=2, action_dims=2)
        trainer = RecurrentPPO(envs, bundle, PPOConfig(total_steps=1024, epochs=1))
        with TensorBoardLog(Path("run")) as log:
            for report in trainer.train():
                log.add(report)
        print(len(list(Path("run").glob("events.*"))))
        ```

        ```text
        1
        ```
    """

    def __init__(self, folder: str | os.PathLike[str], *, after: int = 0) -> None:
        writer = require_tensorboard()
        self._writer = writer(str(as_path("folder", folder)), purge_step=after + 1)

    def add(self, report: UpdateReport) -> None:
        """Write the figures of one update, and flush them."""
        for name, value in report.scalars().items():
            if name.startswith("eval/") and math.isnan(value):
                continue  # no evaluation after this update
            self._writer.add_scalar(name, value, report.steps)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def require_tensorboard() -> type[SummaryWriter]:
    """Return PyTorch's writer of event files.

    Raises:
        ImportError: If TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError(
            "tensorboard: expected it to be installed, got no such package. Install the package "
            "tensorboard, or leave the figures for TensorBoard out."
        ) from error
    return SummaryWriter
