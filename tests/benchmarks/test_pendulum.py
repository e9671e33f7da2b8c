"""The page of the pendulum shows the record."""

import json
from pathlib import Path

from benchmarks.pendulum.__main__ import figures, missing
from benchmarks.pendulum.page import PAGE, RECORD, write_page

ROOT = Path(__file__).parents[2]


def test_the_page_is_written_from_the_record(tmp_path: Path) -> None:
    write_page(json.loads((ROOT / RECORD).read_text("utf-8")), tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text("utf-8") == (ROOT / PAGE).read_text("utf-8")


def test_no_run_is_missing_in_the_record_and_a_deleted_run_is() -> None:
    runs = json.loads((ROOT / RECORD).read_text("utf-8"))["runs"]
    assert list(missing(runs)) == []
    assert list(missing(runs[1:])) == [(runs[0]["who"], runs[0]["seed"])]


def test_figures_are_the_mean_and_its_standard_error() -> None:
    assert figures(10, 2.4, [1.0, 2.0, 3.0]) == {
        "steps": 10,
        "cpu_seconds": 2,
        "mean": 2.0,
        "standard_error": 0.6,
    }
