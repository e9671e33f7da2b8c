"""Run every case, and write the record and the page; fails if a case is not as it should be."""

import importlib
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.field.case import Case, observe
from tests.field.first_ratio import MEASURES
from tests.field.page import LIBRARIES, RECORD, write_page

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Run the cases of each library."""
    cases = [case for library in LIBRARIES for case in cases_of(library)]
    rows = [run(case) for case in cases]
    versions = {name: version(name) for name in ("torch", *LIBRARIES.values())}
    record = {
        "python": sys.version.split()[0],
        "versions": versions,
        "cases": rows,
        "first_ratio": {library: measure() for library, measure in MEASURES.items()},
    }
    (ROOT / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    write_page(record)
    wrong = [row["id"] for row in rows if row["is_correct"] == bool(row["noticed_by"])]
    sys.exit(f"not as expected: {', '.join(wrong)}" if wrong else 0)


def cases_of(library: str) -> list[Case]:
    """Return the cases of a library."""
    return list(importlib.import_module(f"tests.field.{library}_cases").CASES)


def run(case: Case) -> dict[str, Any]:
    """Run a case, and return its row of the record."""
    seen = observe(case)
    print(case.id, *seen.noticed_by)  # noqa: T201 - it tells how far it is
    return {
        "id": case.id,
        "library": case.library,
        "what": case.what,
        "is_correct": case.name.startswith("correct"),
        "raised": seen.raised,
        "noticed_by": seen.noticed_by,
    }


if __name__ == "__main__":
    main()
