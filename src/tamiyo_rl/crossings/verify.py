"""Run the catalogue on this machine, each family in a process of its own."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tamiyo_rl.crossings import CATALOGUE, FAMILIES, Crossing, Observation
from tamiyo_rl.crossings.machine import describe_cpu


@dataclass(frozen=True)
class Result:
    """A crossing, and what was seen of it.

    Attributes:
        crossing: What was expected.
        observation: What was seen.
    """

    crossing: Crossing
    observation: Observation

    @property
    def noticed(self) -> bool:
        """Whether any tool noticed it."""
        return bool(self.observation.noticed_by)

    @property
    def false_alarm(self) -> bool:
        """Whether a tool accused what is correct."""
        return self.crossing.verdict == "correct" and self.noticed

    @property
    def holds(self) -> bool:
        """Whether PyTorch did what was expected, no tool missed, and none accused what is fine."""
        if self.observation.seen == "unsupported":
            return True
        missed = self.crossing.noticed_by - set(self.observation.noticed_by)
        return self.observation.seen == self.crossing.expected and not (missed or self.false_alarm)


def verify(device: str = "cpu", families: Sequence[str] = ()) -> Iterator[Result]:
    """Run the crossings of `families` on `device`, yielding each result as it is seen.

    Args:
        device: `cpu`, `cuda` or `mps`.
        families: Names of families; none for all.

    Raises:
        TypeError: If `families` is not a list of names.
        ValueError: If there is no such family, or no such device on this machine.

    Examples:
        ```python
        from tamiyo_rl.crossings.verify import verify

        results = list(verify(families=["cores"]))
        print(all(result.holds for result in results))
        print(results[0].crossing.id, results[0].observation.seen)
        ```

        ```text
        True
        cores.gru raises in forward
        ```
    """
    if isinstance(families, str) or not isinstance(families, Iterable):
        raise TypeError(f"families: expected a list of families, got {families!r}.")
    for family in (families := tuple(families)):
        if family not in FAMILIES:
            raise ValueError(f"family: expected one of {', '.join(FAMILIES)}, got {family!r}.")
    _require_device(device)
    return _results(device, families or FAMILIES)


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """Count what was noticed, and what only a marker or `is_inference()` would have noticed.

    Args:
        results: What `verify` yielded.

    Raises:
        TypeError: If something else is among the results.
    """
    results = _require_results(results)
    misuses = [r for r in results if r.crossing.verdict == "misuse"]
    silent = [r for r in misuses if r.observation.seen == "silently wrong"]
    correct = [r for r in results if r.crossing.verdict == "correct"]
    return {
        "crossings": len(results),
        "as expected": sum(r.holds for r in results),
        "misuses": _counts(misuses),
        "silent misuses": _counts(silent),
        "alarms on correct": _counts(correct),
    }


def record(results: Sequence[Result], device: str) -> dict[str, Any]:
    """Describe a run: when, with what, and what was seen.

    Args:
        results: What `verify` yielded.
        device: What it ran on.

    Raises:
        TypeError: If something else is among the results.
        ValueError: If this machine has no such device.
    """
    seen = _require_results(results)
    _require_device(device)
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device,
        **describe_cpu(),
        "device_name": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "summary": summary(seen),
        "crossings": [r.observation.as_json() | {"holds": r.holds} for r in seen],
    }


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Write a record whole, or not at all.

    Args:
        path: Where it goes.
        content: What `record` returned.

    Raises:
        TypeError: If it is not a `Path`, or the content is not made of plain values.
        ValueError: If the path cannot be written.
    """
    require_writable(path)
    try:
        text = json.dumps(content, indent=1) + "\n"
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"content: expected plain values, as record() returns, got {error}"
        ) from error
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    Path(file.name).replace(path)


def require_writable(path: Path) -> None:
    """Raise `ValueError` if a record cannot be written to `path`.

    Args:
        path: Where it shall go.

    Raises:
        TypeError: If it is not a `Path`.
        ValueError: If it is a folder, or its folder cannot be written.
    """
    if not isinstance(path, Path):
        raise TypeError(f"path: expected a pathlib.Path, got {path!r}.")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f"json: expected a file in a folder that can be written, got {path}.")


def _counts(results: Sequence[Result]) -> dict[str, int]:
    return {
        "all": len(results),
        "ours": sum(r.noticed for r in results),
        "impossible by design": sum(bool(r.crossing.instead) for r in results),
        "is_inference() alone": sum(r.observation.flagged for r in results),
        "marker alone": sum(r.observation.marked for r in results),
    }


def _require_results(results: Iterable[Result]) -> list[Result]:
    try:
        listed: list[Any] = list(results)
    except TypeError:
        listed = [results]
    for result in listed:
        if not isinstance(result, Result):
            raise TypeError(f"results: expected what verify() yields, got {result!r}.")
    return listed


def _require_device(device: str) -> None:
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not isinstance(device, str) or not available.get(device):
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise ValueError(f"device: expected one that this machine has ({there}), got {device!r}.")


def _results(device: str, families: Sequence[str]) -> Iterator[Result]:
    for family in families:
        pending = [name for name, crossing in CATALOGUE.items() if crossing.family == family]
        while pending:
            for line in _lines(device, pending):
                seen = Observation(**json.loads(line))
                pending.remove(seen.id)
                yield Result(CATALOGUE[seen.id].on(device), seen)
            if pending:  # the process died in this one; the others go on in a new process
                crashed = pending.pop(0)
                yield Result(CATALOGUE[crashed].on(device), Observation(crashed, "crashed"))


def _lines(device: str, ids: Sequence[str]) -> Iterator[str]:
    command = [sys.executable, "-W", "ignore", "-m", "tamiyo_rl.crossings.worker", device, *ids]
    with subprocess.Popen(  # noqa: S603 - our own module, with ids of our own catalogue
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        if process.stdout is not None:
            yield from (line for line in process.stdout if line.startswith('{"id"'))
