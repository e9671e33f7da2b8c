"""Each mistake runs, each twin trains, and record, page and code name the same cases."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from benchmarks.silent_bugs.case import CASES, OWN, Case, train
from benchmarks.silent_bugs.page import PAGE, RECORD, write_page
from benchmarks.silent_bugs.running import (
    OTHERS,
    OURS,
    alarm,
    installed,
    notice,
    pytorch_says,
    tool_says,
)

ROOT = Path(__file__).parents[2]
TOOLS = [tool for tool in OURS if installed(tool)]
BY_ID = {case.id: case for case in CASES}


def record() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((ROOT / RECORD).read_text("utf-8")))


def rows() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in record()["cases"]}


def trained(case: Case, *, mistake: bool) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the trainable parameters of a training, before and after."""
    torch.manual_seed(0)
    training = case.build(mistake=mistake)
    parameters = [p for p in training.module.parameters() if p.requires_grad]
    before = [parameter.detach().clone() for parameter in parameters]
    train(training)
    return before, [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize("name", BY_ID)
def test_each_twin_trains_all_of_its_parameters(name: str) -> None:
    before, after = trained(BY_ID[name], mistake=False)
    for old, new in zip(before, after, strict=True):
        assert new.isfinite().all()
        assert not torch.equal(old, new)


@pytest.mark.parametrize("name", BY_ID)
def test_each_mistake_changes_what_is_learned(name: str) -> None:
    if rows()[name]["pytorch"]["mistake"]:
        return  # PyTorch says something, which the next test compares
    ends = [trained(BY_ID[name], mistake=mistake)[1] for mistake in (True, False)]
    assert [p.shape for p in ends[0]] != [p.shape for p in ends[1]] or not all(
        torch.equal(mistaken, mended) for mistaken, mended in zip(*ends, strict=True)
    )


@pytest.mark.parametrize("name", BY_ID)
def test_pytorch_says_what_the_record_says(name: str) -> None:
    for end, mistake in (("mistake", True), ("mended", False)):
        kinds = [said.partition(":")[0] for said in pytorch_says(BY_ID[name], mistake=mistake)]
        recorded = [said.partition(":")[0] for said in rows()[name]["pytorch"][end]]
        assert kinds == recorded


@pytest.mark.parametrize("name", BY_ID)
@pytest.mark.parametrize("tool", TOOLS)
def test_our_tools_say_what_the_record_says(name: str, tool: str) -> None:
    for end, mistake in (("mistake", True), ("mended", False)):
        said = tool_says(BY_ID[name], tool, mistake=mistake)
        assert bool(said) == bool(rows()[name]["tools"][tool][end])


def test_the_page_is_written_from_the_record(tmp_path: Path) -> None:
    write_page(record(), tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text("utf-8") == (ROOT / PAGE).read_text("utf-8")


def test_record_and_code_name_the_same_thirty_cases() -> None:
    assert list(rows()) == list(BY_ID)
    assert len(BY_ID) == 30


def test_most_cases_link_to_a_report() -> None:
    links = [case.link for case in CASES if case.link != OWN]
    assert len(set(links)) == len(links) >= 20
    assert all(link.startswith("https://") for link in links)


def test_the_readme_quotes_the_record() -> None:
    noticed = sum(bool(notice(row)) for row in rows().values())
    assert f"It notices {noticed} of" in (ROOT / "README.md").read_text("utf-8")


def test_every_tool_ran() -> None:
    assert all(list(row["tools"]) == [*TOOLS, *OTHERS] for row in rows().values())


def test_each_miss_has_a_reason_and_nothing_else_has() -> None:
    missed = [case.id for case in CASES if not notice(rows()[case.id])]
    assert missed == [case.id for case in CASES if case.missed]


def test_no_twin_is_accused() -> None:
    assert not any(alarm(row) for row in rows().values())
