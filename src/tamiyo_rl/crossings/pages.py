"""Write the pages of the catalogue: `python -m tamiyo_rl.crossings.pages docs/reference`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tamiyo_rl.crossings import CATALOGUE, FAMILIES, Crossing

_CATALOGUE = """# The catalogue of crossings

Each row is a small function in `tamiyo_rl.crossings.families`. `tamiyo-rl verify` runs them all on
your machine. *PyTorch* is what happens with no tool of ours; *silently wrong* means that the
gradients, or the parameters after a step, differ from those of a reference with the same values.
The verdict is ours: a *breach* is harmless in this case but breaks clause C4, a *misuse* is wrong
or raises. A correct case must cause no alarm. What was seen where is on
[Verified on](verified-on.md).
"""

_VERIFIED = """# Verified on

Each section is a committed record, written by `tamiyo-rl verify --json FILE`. There is no record
of `cuda` or `mps` yet: nothing on this site is claimed for them. The examples are also run on CPU
memory that PyTorch takes for a second device; that finds code that is tied to the CPU, and is not a
record of a GPU.

*Ours* is the guard, the audit, the check of the ratio, the gradients after `backward()` and the
tracer together. *Impossible by design* are misuses where memory is overwritten, or a state is
reused, under training's feet: no check of a tensor sees that, and the part of the design that the
catalogue names rules it out. The last two columns are what a check of the arguments by
`is_inference()`, and a Python marker on the rollout's tensors, notice alone.
"""


def catalogue_page() -> str:
    """Write the catalogue as a page, a table for each family."""
    return "\n".join([_CATALOGUE, *(_family(family) for family in FAMILIES)])


def verified_page(records: Sequence[dict[str, Any]]) -> str:
    """Write what the records saw as a page."""
    return "\n".join([_VERIFIED, *(_record(record) for record in records)])


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Read the committed records, in the order of their names."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]


def _family(family: str) -> str:
    cases = [crossing for crossing in CATALOGUE.values() if crossing.family == family]
    head = "| crossing | what the code does | PyTorch | verdict | noticed by |"
    rows = [head, "| --- | --- | --- | --- | --- |", *(_row(crossing) for crossing in cases)]
    return "\n".join([f"## {family}", "", *rows, ""])


def _row(crossing: Crossing) -> str:
    noticed = ", ".join(sorted(crossing.noticed_by)) or crossing.instead
    cells = (crossing.sentence, crossing.expected, crossing.verdict, noticed)
    return f"| `{crossing.id}` | {' | '.join(cells)} |"


def _record(record: dict[str, Any]) -> str:
    counts = dict(record["summary"])
    held, all_of = counts.pop("as expected"), counts.pop("crossings")
    columns = list(next(iter(counts.values())))
    rows = [
        f"| {name} | {' | '.join(str(row[column]) for column in columns)} |"
        for name, row in counts.items()
    ]
    name = f"torch {record['torch']}, {record['device']}"
    where = f"{record['device_name']}, Python {record['python']}"
    lines = [
        f"## {name}",
        "",
        f"{record['date']}, {where}: {held} of {all_of} crossings as expected.",
    ]
    head = [f"| noticed | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    return "\n".join([*lines, "", *head, *rows, ""])


def main(folder: Path) -> None:
    """Write both pages into `folder`, whose `records` hold the runs."""
    (folder / "crossings.md").write_text(catalogue_page(), "utf-8")
    (folder / "verified-on.md").write_text(verified_page(read_records(folder / "records")), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
