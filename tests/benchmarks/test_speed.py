"""The page of benchmarks and its figures show the record."""

import json
import re
from importlib.util import find_spec
from itertools import count
from pathlib import Path

from benchmarks.__main__ import PAGE, RECORD
from benchmarks.speed import SUITES, figures
from benchmarks.speed.report import MEANING, write_page
from benchmarks.speed.tables import make_tables
from benchmarks.speed.timing import median_times

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / RECORD).read_text("utf-8"))


def test_the_page_is_written_from_the_record(tmp_path: Path) -> None:
    write_page(RESULTS, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text("utf-8") == (ROOT / PAGE).read_text("utf-8")


def test_the_figures_are_drawn_from_the_record(tmp_path: Path) -> None:
    figures.draw_all(RESULTS["update"], tmp_path)
    drawn = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.svg"))
    assert [f"{path}" for path in drawn] == [
        f"{folder}/update-{scheme}.svg"
        for folder in ("benchmarks", "resets")
        for scheme in ("dark", "light")
    ]
    for path in drawn:
        committed = ROOT / figures.ASSETS / path
        assert (tmp_path / path).read_text("utf-8") == committed.read_text("utf-8")


def test_every_suite_is_a_module_on_record_with_a_meaning() -> None:
    assert {key.split(",")[0] for key in RESULTS} == set(SUITES) == set(MEANING)
    for name in SUITES:
        assert find_spec(f"benchmarks.speed.{name}")


def test_a_table_has_its_methods_as_rows_and_ratios_to_the_first() -> None:
    cases = [
        {"rows": rows, "reset rate": rate, "seconds": {"a": 0.001, "b": rows * rate}}
        for rows in (4, 16)
        for rate in (0.0, 0.5)
    ]
    assert list(make_tables(cases)) == [
        "| rows 4, ms | reset rate 0% | reset rate 50% |",
        "| --- | ---: | ---: |",
        "| a | 1 (1.00) | 1 (1.00) |",
        "| b | 0 (0.00) | 2000 (2000.00) |",
        "",
        "| rows 16, ms | reset rate 0% | reset rate 50% |",
        "| --- | ---: | ---: |",
        "| a | 1 (1.00) | 1 (1.00) |",
        "| b | 0 (0.00) | 8000 (8000.00) |",
        "",
    ]


def test_tables_of_the_page_have_at_most_six_columns() -> None:
    rows = re.findall(r"^\|.*\|$", (ROOT / PAGE).read_text("utf-8"), re.MULTILINE)
    assert max(row.count("|") - 1 for row in rows) <= 6


def test_methods_are_timed_in_turn() -> None:
    calls: list[str] = []
    methods = {name: lambda name=name: calls.append(name) for name in "ab"}
    assert list(median_times(methods, rounds=2)) == ["a", "b"]
    assert calls == ["a", "a", "b", "b"] * 2


def test_methods_are_timed_by_the_clock_they_are_given() -> None:
    ticks = count()
    assert median_times({"a": lambda: None}, rounds=3, clock=lambda: next(ticks)) == {"a": 1}
