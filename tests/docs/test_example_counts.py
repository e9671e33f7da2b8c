"""No example vanishes unnoticed."""

import json
from pathlib import Path

import pytest

from tests.docs.documents import count_examples

COUNTS = Path(__file__).with_name("example_counts.json")


def test_each_file_has_the_examples_counted(pytestconfig: pytest.Config) -> None:
    counts = count_examples(pytestconfig.rootpath)
    if pytestconfig.getoption("rewrite_outputs"):
        COUNTS.write_text(json.dumps(counts, indent=2) + "\n", "utf-8")
    assert counts == json.loads(COUNTS.read_text("utf-8")), (
        f"examples came or went. If they should have, update {COUNTS.name} with: "
        "python -m pytest --rewrite-outputs tests/docs/test_example_counts.py"
    )
