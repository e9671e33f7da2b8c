"""The page of POPGym shows the record."""

import json
from pathlib import Path

from benchmarks.popgym.__main__ import missing
from benchmarks.popgym.page import PAGE, RECORD, write_page

ROOT = Path(__file__).parents[2]


def test_the_page_is_written_from_the_record(tmp_path: Path) -> None:
    write_page(json.loads((ROOT / RECORD).read_text("utf-8")), tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text("utf-8") == (ROOT / PAGE).read_text("utf-8")


def test_no_run_is_missing_in_the_record_and_a_deleted_run_is() -> None:
    runs = json.loads((ROOT / RECORD).read_text("utf-8"))["runs"]
    assert list(missing(runs)) == []
    assert list(missing(runs[1:])) == [(runs[0]["task"], runs[0]["seed"])]
