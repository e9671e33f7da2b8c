"""Ask each library each question, and write the record and the page."""

import importlib
import json
import sys
from importlib.metadata import version
from typing import Any

from tests.field.contract.page import RECORD, REPRODUCED, ROOT, write_page
from tests.field.contract.seen import TOLERANCE, answers, as_record

# The files that observe, and the package whose version counts.
LIBRARIES = {
    "sb3_contrib": "sb3-contrib",
    "torchrl": "torchrl",
    "rsl_rl": "rsl-rl-lib",
    "rllib": "ray",
    "skrl": "skrl",
    "tianshou": "tianshou",
}


def main() -> None:
    """Run each library."""
    record: dict[str, Any] = {
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in ("torch", *LIBRARIES.values())},
        "tolerance": TOLERANCE,
        "answers": {
            name: as_record(answers(observe))
            for library in LIBRARIES
            for name, observe in measured(library).items()
        },
    }
    (ROOT / RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    write_page(record)
    unexplained = missing(record["answers"])
    sys.exit(f"no reproduction: {unexplained}" if unexplained else 0)


def measured(library: str) -> dict[str, Any]:
    """Return what to observe of a library, by the name that the table shows."""
    return dict(importlib.import_module(f"tests.field.contract.of_{library}").MEASURED)


def missing(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return each answer that is no and that nothing reproduces."""
    return [
        (name, question)
        for name, answers_ in found.items()
        for question, answer in answers_.items()
        if not answer["kept"] and (name, question) not in REPRODUCED
    ]


if __name__ == "__main__":
    main()
