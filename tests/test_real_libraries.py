"""The page about real libraries shows its record: no alarm on a correct training."""

import json
from pathlib import Path

from tests.field.page import LIBRARIES, PAGE, RECORD, write_page

ROOT = Path(__file__).parents[1]


def test_the_page_is_written_from_the_record(tmp_path: Path) -> None:
    record = json.loads((ROOT / RECORD).read_text("utf-8"))
    write_page(record, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text("utf-8") == (ROOT / PAGE).read_text("utf-8")


def test_each_library_has_correct_trainings_and_three_mistakes_that_are_noticed() -> None:
    record = json.loads((ROOT / RECORD).read_text("utf-8"))
    for library in {case["library"] for case in record["cases"]}:
        cases = [case for case in record["cases"] if case["library"] == library]
        assert any(case["is_correct"] for case in cases)
        assert sum(not case["is_correct"] for case in cases) >= 3
        assert all(case["is_correct"] != bool(case["noticed_by"]) for case in cases)
    assert len({case["library"] for case in record["cases"]}) == len(LIBRARIES)


def test_their_training_sees_what_their_rollout_saw() -> None:
    record = json.loads((ROOT / RECORD).read_text("utf-8"))
    assert len(record["first_ratio"]) == 4
    assert all(off < 1e-5 for found in record["first_ratio"].values() for off in found.values())
