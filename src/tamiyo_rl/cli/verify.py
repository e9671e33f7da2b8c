"""`tamiyo-rl verify`: the catalogue of crossings."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from tamiyo_rl.crossings.report import print_results, with_progress
from tamiyo_rl.crossings.verify import record, require_writable, verify, write_record


@dataclass
class Verify:
    """Run the catalogue of crossings here: what PyTorch does, and which tools notice.

    Exits with 1 when PyTorch did something else than expected, or a tool missed a misuse or raised
    a false alarm.

    Attributes:
        device: Where the crossings run.
        family: Families to run; none for all.
        json: File for the record of the run.
    """

    device: Literal["cpu", "cuda", "mps"] = "cpu"
    family: tuple[str, ...] = ()
    json: Path | None = None

    def __call__(self, console: Console) -> None:
        """Print a table for each family and the summary, and write the record."""
        if self.json is not None:
            require_writable(self.json)
        results = with_progress(verify(self.device, self.family), self.family, console)
        print_results(results, self.device, console)
        if self.json is not None:
            write_record(self.json, record(results, self.device))
        if not all(result.holds for result in results):
            sys.exit(1)
