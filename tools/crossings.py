"""Write the pages of the catalogue: `python -m tools.crossings docs/reference`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tamiyo_rl.crossings import CATALOGUE, FAMILIES, Crossing

Record = dict[str, Any]
Cells = tuple[Any, ...]

_CATALOGUE = """# The catalogue of crossings

Each row is a small function in `tamiyo_rl.crossings.families`. `tamiyo-rl verify` runs them all on
your machine. *PyTorch* is what happens with no tool of ours; *silently wrong* means that the
gradients, or the parameters after a step, differ from those of a reference with the same values.
The verdict is ours: a *breach* is harmless in this case but breaks clause C4, a *misuse* is wrong
or raises. A correct case must cause no alarm. What was seen where is on
[Verified on](verified-on.md).
"""

_VERIFIED = """# Verified on

There is no record of `cuda` or `mps` yet: nothing on this site is claimed for them. The examples
are also run on CPU memory that PyTorch takes for a second device; that finds code that is tied to
the CPU, and is not a record of a GPU.

## Tests

`make matrix` runs every example and every test with each of these and writes a record of it. What
depends on PyTorch, such as tensordict, is installed in the version that goes with it.

{tests}

## What differs

The version of Python makes no difference to the catalogue. What does:

{differences}
- `LSTMPolicyBundle` trains under autocast everywhere: its recurrent call computes in float32 where
  oneDNN has no bfloat16, and its rollout calls leave no cast behind. With another policy before
  PyTorch 2.11, enter autocast once for the rollout and once more for training.
- In PyTorch 2.9, `torch.get_default_device()` raises after `torch.set_default_device(None)`.
  Nothing here calls it.
- In PyTorch 2.11 and older, `DistributedDataParallel` has `broadcast_buffers=False` in place of
  `forward_sync_buffers=False`.
- With Python 3.13.0, `torch.compile` warns that its guards may run slower; 3.13.1 mends it.

## The catalogue

Each row is a record, written by `tamiyo-rl verify --json FILE`. *CPU* are the vector instructions
that PyTorch uses, *bfloat16* tells whether oneDNN computes in it. Where the instructions are AVX2,
a CPU with AVX-512 was told to do without (`ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2`).

{records}

## What is noticed

*Ours* is the guard, the audit, the check of the ratio, the gradients after `backward()` and the
tracer together. *Impossible by design* are misuses where memory is overwritten, or a state is
reused, under training's feet: no check of a tensor sees that, and the part of the design that the
catalogue names rules it out. The last two columns are what a check of the arguments by
`is_inference()`, and a Python marker on the rollout's tensors, notice alone.

{noticed}"""

_RECORDS = "| PyTorch | Python | device | CPU | bfloat16 | date | as expected |"
_TESTS = "| Python | PyTorch | passed | failed | skipped | date |"


def catalogue_page() -> str:
    """Write the catalogue as a page, a table for each family."""
    return "\n".join([_CATALOGUE, *(_family(family) for family in FAMILIES)])


def verified_page(records: Sequence[Record], runs: Sequence[Record]) -> str:
    """Write what the records of the catalogue and of the tests say as a page."""
    return _VERIFIED.format(
        tests=_table(_TESTS, [_run(run) for run in runs]),
        differences="\n".join(_differences()),
        records=_table(_RECORDS, [_recorded(record) for record in records]),
        noticed="\n".join(_noticed(records)),
    )


def read_records(folder: Path) -> list[Record]:
    """Read the committed records, in the order of the versions in their names."""
    paths = sorted(folder.glob("*.json"), key=lambda path: _in_order(path.stem))
    return [json.loads(path.read_text("utf-8")) for path in paths]


def _in_order(name: str) -> list[tuple[int, str]]:
    """Order `2.9.1` before `2.11.0`."""
    return [(int(part or 0), text) for text, part in re.findall(r"(\D*)(\d*)", name)]


def _family(family: str) -> str:
    cases = [crossing for crossing in CATALOGUE.values() if crossing.family == family]
    head = "| crossing | what the code does | PyTorch | verdict | noticed by |"
    rows = [head, "| --- | --- | --- | --- | --- |", *(_row(crossing) for crossing in cases)]
    return "\n".join([f"## {family}", "", *rows, ""])


def _row(crossing: Crossing) -> str:
    noticed = ", ".join(sorted(crossing.noticed_by)) or crossing.instead
    seen: list[str] = [crossing.expected, crossing.verdict, noticed]
    if (other := crossing.elsewhere) is not None:
        tools = ", ".join(sorted(other.noticed_by))
        there = [f"{other.where}: {other.expected}", other.verdict, tools]
        seen = [f"{a or 'nothing'}; {b}" for a, b in zip(seen, there, strict=True)]
    return f"| `{crossing.id}` | {' | '.join([crossing.sentence, *seen])} |"


def _differences() -> Iterator[str]:
    """Write an item for each place, with the crossings that differ there."""
    differing = [(c, c.elsewhere) for c in CATALOGUE.values() if c.elsewhere is not None]
    for where in dict.fromkeys(other.where for _, other in differing):
        there = [(c, other) for c, other in differing if other.where == where]
        ids = ", ".join(f"`{c.id}`" for c, _ in there)
        outcomes = " or ".join(dict.fromkeys(other.expected for _, other in there))
        usual = " or ".join(dict.fromkeys(c.expected for c, _ in there))
        yield f"- *{where[0].upper()}{where[1:]}*: {outcomes} instead of {usual}. {there[0][1].why}"
        yield f"  It changes {ids}."


def _run(run: Record) -> Cells:
    counted = (run["tests"][what] for what in ("passed", "failed", "skipped"))
    return (run["python"], run["torch"], *counted, run["date"])


def _recorded(record: Record) -> Cells:
    held = f"{record['summary']['as expected']} of {record['summary']['crossings']}"
    has_bfloat16 = "yes" if record["onednn_bfloat16"] else "no"
    where = (record["device"], record["cpu_capability"], has_bfloat16)
    return (record["torch"], record["python"], *where, record["date"], held)


def _noticed(records: Sequence[Record]) -> Iterator[str]:
    """Write the counts, once for all records that agree on them."""
    agreeing: dict[str, list[Record]] = {}
    for record in records:
        agreeing.setdefault(json.dumps(record["summary"]), []).append(record)
    for summary, alike in agreeing.items():
        names = ", ".join(f"{r['torch']} with {r['cpu_capability']}" for r in alike)
        counts = {name: row for name, row in json.loads(summary).items() if isinstance(row, dict)}
        columns = list(next(iter(counts.values())))
        rows = [(name, *(row[column] for column in columns)) for name, row in counts.items()]
        head = f"| noticed | {' | '.join(columns)} |"
        yield f"PyTorch {names}:\n\n{_table(head, rows)}\n"


def _table(head: str, rows: Sequence[Cells]) -> str:
    rule = "|" + " --- |" * (head.count("|") - 1)
    return "\n".join([head, rule, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def main(folder: Path) -> None:
    """Write both pages into `folder`, whose `records` hold the runs."""
    records = read_records(folder / "records")
    page = verified_page(records, read_records(folder / "records/matrix"))
    (folder / "crossings.md").write_text(catalogue_page(), "utf-8")
    (folder / "verified-on.md").write_text(page, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
