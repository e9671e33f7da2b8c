"""What a training run leaves behind: settings, checkpoints, log, learning curve and policy."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from matplotlib.figure import Figure

from tamiyo_rl.training.checkpoint import newest_checkpoint
from tamiyo_rl.training.diagnostics import UpdateReport
from tamiyo_rl.training.saved_file import UNFINISHED, replace_file
from tamiyo_rl.training.versions import versions

FORMAT = 1
STEPS, RETURN = "time/total_timesteps", "rollout/ep_rew_mean"  # names in the log


class RunFolder:
    """The folder of one run, and where things are in it.

    Args:
        path: The folder.

    Attributes:
        config: Settings, versions and date, as JSON; a folder that has it holds a run.
        checkpoints: Folder of the checkpoints.
        log: One line for each update, as CSV.
        curve: The return over the steps, as PNG.
        policy: The trained policy, for `load_policy`.
        tensorboard: Folder of the event files, if they were asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config, self.checkpoints = path / "config.json", path / "checkpoints"
        self.log, self.curve = path / "log.csv", path / "learning_curve.png"
        self.policy, self.tensorboard = path / "policy.pt", path / "tensorboard"

    def require_free(self, *, overwrite: bool) -> None:
        """Raise `ValueError` where the folder holds a run that is not to be overwritten."""
        if self.config.exists() and not overwrite:
            raise ValueError(
                f"run: expected a folder without a run, got {self.path}, which holds one"
                "\n  do: pass another folder, or --resume to go on with it, or --overwrite"
            )

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Write the settings of a new run, where nothing is left of an old one.

        Args:
            settings: What makes the training what it is.
        """
        self._clear()
        content = {
            "format": FORMAT,
            "date": dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "settings": settings,
        }
        replace_file(self.config, (json.dumps(content, indent=2) + "\n").encode())

    def read_config(self) -> Any:  # noqa: ANN401 - whatever stands there
        """Return what the config gives for the settings of the run, not yet checked.

        Raises:
            ValueError: If the folder holds no run, or one of another format.
        """
        try:
            content = json.loads(self.config.read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise ValueError(
                f"run: expected a folder with a config.json, got {self.path}, which has none"
                "\n  do: pass the folder of a run that `tamiyo-rl train` began"
            ) from None
        except ValueError as error:
            raise ValueError(f"{self.config}: expected JSON, got {error}") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(
                f"{self.config}: expected format {FORMAT}, got another file or format"
                "\n  do: go on with the version of tamiyo-rl that wrote it"
            )
        return content.get("settings")

    def newest_checkpoint(self) -> Path | None:
        """Return the newest checkpoint; None before the first."""
        return newest_checkpoint(self.checkpoints)

    def require_checkpoint(self) -> Path:
        """Return the newest checkpoint; `ValueError` before the first."""
        newest = self.newest_checkpoint()
        if newest is None:
            raise ValueError(
                f"run: expected a run with a checkpoint, got {self.path}, which has none yet"
                f"\n  do: tamiyo-rl train --resume {self.path}"
            )
        return newest

    def _clear(self) -> None:
        """Remove what a run left, the config first: what is left of it is no run any more."""
        left = [self.config, self.log, self.curve, self.policy]
        left += [*self.checkpoints.glob("checkpoint-*.pt"), *self.tensorboard.glob("events.*")]
        left += self.path.rglob(f"*{UNFINISHED}")
        for path in left:
            path.unlink(missing_ok=True)


class TrainingLog:
    """Writes one line for each update to a CSV file, at once on the disk.

    Args:
        path: The file.
        after: Steps of the checkpoint from which the training goes on: later lines are dropped,
            since they come again.
    """

    def __init__(self, path: Path, *, after: int = 0) -> None:
        kept = _lines_up_to(path, after)
        replace_file(path, "".join(kept).encode())
        self._begun = bool(kept)
        self._file = path.open("ab")

    def add(self, report: UpdateReport) -> None:
        """Write one report, after the names of its figures if it is the first."""
        row = report.scalars()
        self._file.write(_as_csv([row.values()] if self._begun else [row, row.values()]))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._begun = True

    def __enter__(self) -> Self:
        """Return the log."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: Path) -> list[dict[str, float]]:
    """Return the figures of each update, by name.

    Args:
        path: The file; none is read if there is none.
    """
    rows = csv.DictReader(_whole_lines(path))
    return [{name: float(value) for name, value in row.items()} for row in rows]


def _lines_up_to(path: Path, steps: int) -> list[str]:
    """Return the names and the lines up to these steps, as they were written."""
    head, *lines = _whole_lines(path) or [""]
    kept = [line for line, row in zip(lines, read_log(path), strict=True) if row[STEPS] <= steps]
    return [head, *kept] if kept else []


def _whole_lines(path: Path) -> list[str]:
    """Return the lines of a file without a last one that was cut off; none if there is no file."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]


def _as_csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def draw_learning_curve(
    log: list[dict[str, float]], path: Path, *, solved_at: float | None = None
) -> None:
    """Draw the return over the environment steps.

    Args:
        log: What `read_log` returned.
        path: The picture, PNG.
        solved_at: Return at which the task counts as solved, drawn as a line; None for none.
    """
    known = [row for row in log if not math.isnan(row[RETURN])]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([row[STEPS] for row in known], [row[RETURN] for row in known], label="return")
    if solved_at is not None:
        axes.axhline(solved_at, color="tab:gray", linestyle="--", label=f"solved: {solved_at:g}")
    axes.set(xlabel="environment steps", ylabel="mean return of 100 sampled episodes")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150, format="png")
    replace_file(path, picture.getvalue())
