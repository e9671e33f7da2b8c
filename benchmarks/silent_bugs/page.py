"""The page of the site, from the record and the list of cases."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import benchmarks.silent_bugs.cases  # noqa: F401 - fills the list
from benchmarks.silent_bugs.case import CASES, OWN, Case
from benchmarks.silent_bugs.running import OTHERS, OURS, alarm, notice

RECORD = Path("benchmarks/silent_bugs/record.json")
PAGE = Path("docs/explanation/silent-bugs.md")
FAMILIES = {
    "terms": "Terms of a loss",
    "optimizers": "Optimizers",
    "modules": "Modules",
    "modes": "Modes that stay on",
    "rollouts": "Rollouts",
    "recurrent": "Memory",
}
CALLS = {
    "audit": "`audit_gradients` and `audit_backward`",
    "consistency": "`check_consistency` and `check_ratio`",
    "guard": "`guard_training_inputs`",
    "tracer": "`trace_crossings`",
    "watch": "`watch_training`",
}

TEXT = """\
# Which mistakes are found

How many silent mistakes do the tools of this package find, and do they leave correct code in
peace? {cases} mistakes were rebuilt as small trainings of a few updates, each beside its mended
twin. {reported} of them stand in public reports, which the table links to; the others are our own.

**{found} of {cases} are noticed, and {alarms} of the {cases} mended twins are accused.** PyTorch
itself warns of or refuses {loud}.

## By tool

A tool notices a mistake if it says something of it, within the updates of the case, that it does
not say of the twin, whether or not that names the cause. An alarm is anything that it says of a
twin.

| tool | mistakes noticed | alarms on twins |
|---|---|---|
{tools}

The other packages ran in their default settings, with the whole forward pass as the module,
because many of the mistakes stand in the loss and not in one network. What a tool itself calls
only possible does not count: warnings of torchtest2, hints of torch-audit at speed, and what ours
show without a verdict. torchtest2 takes steps of its own, so it cannot see a mistake in what
follows `backward()`.

{families}

## What is missed

{missed}

## How far this goes

We chose the mistakes, by kind, before a tool ran on them. Everything is small and runs on the
CPU, in one process. Each mistake is rebuilt in PyTorch from its report and is not the code that
was reported; the report of *ratio is always 1* is about TensorFlow, that of *one step early* about
JAX. Four abilities of the watch were written once the list was there, and five mistakes are found
by them only: its rules *wasted-term*, *unused-gradients* and *kept-gradients*, and that it looks
into plain lists. So this counts what is found of one list, and is no rate of detection for your
code.
[TrainCheck](https://arxiv.org/abs/2506.14813) (OSDI 2025) learns from correct runs what has to
hold, and reports 18 of 20 real errors. Its list has faults of frameworks, compilers and several
GPUs, which are not here. One error is on both lists: *{shared}*

`make silent-bugs` runs all of it and writes this page; {versions}.
"""


def write_page(record: Mapping[str, Any], path: Path = PAGE) -> None:
    """Write the page."""
    rows = {row["id"]: row for row in record["cases"]}
    text = TEXT.format(
        cases=len(CASES),
        reported=sum(case.link != OWN for case in CASES),
        found=sum(bool(notice(row)) for row in rows.values()),
        alarms=sum(bool(alarm(row)) for row in rows.values()),
        loud=sum(bool(row["pytorch"]["mistake"]) for row in rows.values()),
        tools="\n".join(_tools(rows.values())),
        families="\n\n".join(_family(title, name, rows) for name, title in FAMILIES.items()),
        missed="\n".join(_missed(case) for case in CASES if not notice(rows[case.id])),
        shared=next(case.sentence for case in CASES if "84911" in case.link),
        versions=_versions(record["environment"]),
    )
    path.write_text(text, "utf-8")


def _tools(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    listed = list(rows)
    used = [tool for tool in (*OURS, *OTHERS) if tool in listed[0]["tools"]]
    groups = {"**all of tamiyo-rl**": list(OURS)}
    groups |= {CALLS.get(tool, tool): [tool] for tool in used}
    return [
        f"| {name} | {sum(bool(notice(row, tools)) for row in listed)} "
        f"| {sum(bool(alarm(row, tools)) for row in listed)} |"
        for name, tools in groups.items()
    ]


def _family(title: str, name: str, rows: Mapping[str, Mapping[str, Any]]) -> str:
    head = f"## {title}\n\n| mistake | PyTorch says | tamiyo-rl | others |\n|---|---|---|---|\n"
    cases = (case for case in CASES if case.id.startswith(f"{name}."))
    return head + "\n".join(_row(case, rows[case.id]) for case in cases)


def _row(case: Case, row: Mapping[str, Any]) -> str:
    source = "" if case.link == OWN else f" ([report]({case.link}))"
    said = row["pytorch"]["mistake"]
    loud = said[0].partition(":")[0] if said else "nothing"
    ours = ", ".join(notice(row)) or "**missed**"
    others = ", ".join(notice(row, OTHERS)) or "none"
    return f"| {case.sentence}{source} | {loud} | {ours} | {others} |"


def _missed(case: Case) -> str:
    return f"- *{case.sentence}* {case.missed}"


def _versions(environment: Mapping[str, Any]) -> str:
    versions = {"Python": environment["python"], **environment["versions"]}
    return ", ".join(f"{name} {number}" for name, number in versions.items())


if __name__ == "__main__":
    write_page(json.loads(RECORD.read_text("utf-8")))
