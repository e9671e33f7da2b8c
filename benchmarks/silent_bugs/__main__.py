"""Run every case under every tool that is installed, and write the record and the page."""

from __future__ import annotations

import json
from typing import Any

from rich.progress import track

import benchmarks.silent_bugs.cases  # noqa: F401 - fills the list
from benchmarks.machine import describe_machine
from benchmarks.silent_bugs.case import CASES
from benchmarks.silent_bugs.page import RECORD, write_page
from benchmarks.silent_bugs.running import TOOLS, installed, run_case
from tamiyo_rl.training.storage.files import replace_file


def main() -> None:
    """Run all cases; takes about a minute."""
    tools = [tool for tool in TOOLS if installed(tool)]
    rows = [run_case(case, tools) for case in track(CASES, "Running the cases")]
    record: dict[str, Any] = {"environment": describe_machine(), "cases": rows}
    replace_file(RECORD, dump(record).encode())
    write_page(record)


def dump(record: dict[str, Any]) -> str:
    """Write a record as JSON, a case in each line."""
    lines = ",\n  ".join(json.dumps(row) for row in record["cases"])
    environment = json.dumps(record["environment"])
    return f'{{"environment": {environment},\n "cases": [\n  {lines}\n ]\n}}\n'


if __name__ == "__main__":
    main()
