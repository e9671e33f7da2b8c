"""The catalogue: PyTorch does as written, misuses are noticed, correct code is not accused."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tools.crossings import catalogue_page, read_records, verified_page

from tamiyo_rl.crossings import CATALOGUE, Crossing, observe, verify
from tamiyo_rl.crossings.catalogue import Elsewhere
from tamiyo_rl.crossings.lab import Lab
from tamiyo_rl.crossings.verify import Result, record, summary, write_record
from tests.strategies import junk, result_or_our_error, stable

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def result_of(crossing: Crossing) -> Result:
    return Result(crossing, observe(crossing, "cpu"))


@pytest.fixture(scope="module")
def results() -> list[Result]:
    return [result_of(crossing.on("cpu")) for crossing in CATALOGUE.values()]


def test_every_crossing_is_as_the_catalogue_says(results: list[Result]) -> None:
    assert [r.observation for r in results if not r.holds] == []


def test_every_crossing_runs_on_the_pinned_version(results: list[Result]) -> None:
    assert [r.crossing.id for r in results if r.observation.seen == "unsupported"] == []


def test_no_correct_crossing_is_accused(results: list[Result]) -> None:
    assert [r.crossing.id for r in results if r.false_alarm] == []


def test_every_misuse_is_noticed_or_impossible(results: list[Result]) -> None:
    misuses = [r for r in results if r.crossing.verdict == "misuse"]
    assert len(misuses) > 70
    assert [r.crossing.id for r in misuses if not (r.noticed or r.crossing.instead)] == []


def test_a_reason_is_given_only_where_no_tool_must_notice() -> None:
    assert not [c.id for c in CATALOGUE.values() if c.instead and c.noticed_by]


def test_every_silent_misuse_differs_from_its_reference(results: list[Result]) -> None:
    silent = [r for r in results if r.observation.seen == "silently wrong"]
    assert len(silent) > 30
    assert {r.crossing.verdict for r in silent} == {"misuse"}


@pytest.mark.parametrize("change", ["expected", "noticed_by"])
def test_a_wrong_entry_does_not_hold(change: str) -> None:
    right = CATALOGUE["hidden.detach"]
    wrong = {"expected": "fine", "noticed_by": frozenset({"ratio"})}[change]
    fields = {**vars(right), change: wrong}
    assert result_of(right).holds
    assert not result_of(Crossing(**fields)).holds


def test_a_crossing_is_expected_to_do_what_it_does_on_this_machine() -> None:
    there = Elsewhere("on CUDA", "", lambda device: device == "cuda", "fine", "breach", frozenset())
    case = replace(CATALOGUE["hidden.detach"], elsewhere=there)
    assert case.on("cpu") is case
    assert (case.on("cuda").expected, case.on("cuda").verdict) == ("fine", "breach")
    assert result_of(case.on("cpu")).holds
    assert not result_of(case.on("cuda")).holds


def test_a_false_alarm_does_not_hold() -> None:
    fields = {**vars(CATALOGUE["hidden.detach"]), "verdict": "correct"}
    assert not result_of(Crossing(**fields)).holds


def test_a_crash_does_not_stop_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    families = Path(verify.__file__).parent
    worker = f"""
import os, runpy, sys
from tamiyo_rl.crossings import CATALOGUE
object.__setattr__(CATALOGUE["cores.hand-written"], "run", lambda lab: os._exit(9))
sys.argv = ["worker", *sys.argv[1:]]
runpy.run_path({str(families / "worker.py")!r}, run_name="__main__")
"""
    real = subprocess.Popen

    def popen(command: list[str], **kwargs: Any) -> Any:
        device = command.index("cpu")
        return real([sys.executable, "-W", "ignore", "-c", worker, *command[device:]], **kwargs)

    monkeypatch.setattr(subprocess, "Popen", popen)
    seen = {r.crossing.id: r.observation.seen for r in verify.verify(families=["cores"])}
    assert seen["cores.hand-written"] == "crashed"
    assert [name for name, outcome in seen.items() if outcome == "crashed"] == [
        "cores.hand-written"
    ]
    assert len(seen) == sum(c.family == "cores" for c in CATALOGUE.values())


@pytest.mark.parametrize("name", ["in_no_version", "nn"])
def test_only_what_pytorch_lacks_is_unsupported(name: str) -> None:
    def missing(lab: Lab) -> dict[str, torch.Tensor]:
        return {"policy": getattr(torch, name)(lab.no_such_field)}  # type: ignore[attr-defined]  # it is missing on purpose

    case = Crossing(**{**vars(CATALOGUE["hidden.detach"]), "run": missing})
    seen = result_of(case)
    supported = name == "nn"
    assert (seen.observation.seen == "unsupported") is not supported
    assert seen.holds is not supported


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--family", "nonsense"], "family: expected one of"),
        (["--json", "no/such/folder/file.json"], "json: expected a file in a folder"),
    ],
)
def test_bad_input_exits_with_2(arguments: list[str], message: str) -> None:
    command = [sys.executable, "-m", "tamiyo_rl", "verify", *arguments]
    ended = subprocess.run(  # noqa: S603 - our own command
        command, capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert ended.returncode == 2
    assert message in ended.stderr


def test_a_missing_device_is_refused() -> None:
    with pytest.raises(TypeError, match="families: expected a list of families, got 'cores'"):
        verify.verify(families="cores")
    with pytest.raises(ValueError, match="device: expected one that this machine has"):
        verify.verify("tpu")


@given(device=junk(), families=st.just(()) | junk() | st.lists(junk(), max_size=2))
@stable(60)
def test_verify_names_what_it_cannot_use(device: Any, families: Any) -> None:
    result_or_our_error(lambda: verify.verify(device, families), ["device", "families", "family"])


@given(results=junk())
@stable(40)
def test_a_record_is_of_results(results: Any) -> None:
    counts = result_or_our_error(lambda: summary(results), ["results"])
    content = result_or_our_error(lambda: record(results, "cpu"), ["results"])
    assert content is None or content["summary"] == counts


@given(path=junk(), content=junk() | st.dictionaries(st.sampled_from(["a", 0, (0,)]), junk()))
@stable(60)
def test_content_that_is_not_a_record_is_not_written(path: Any, content: Any) -> None:
    result_or_our_error(lambda: write_record(path, content), ["path"])
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "record.json"
        result_or_our_error(lambda: write_record(target, content), ["content"])
        assert list(Path(folder).iterdir()) == ([target] if target.exists() else [])


def test_a_record_is_written_whole(tmp_path: Path, results: list[Result]) -> None:
    write_record(tmp_path / "record.json", record(results, "cpu"))
    content = json.loads((tmp_path / "record.json").read_text())
    assert content["summary"] == summary(results)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_the_pages_are_those_of_the_catalogue_and_the_records() -> None:
    records, runs = (read_records(REFERENCE / name) for name in ("records", "records/matrix"))
    assert (REFERENCE / "crossings.md").read_text() == catalogue_page()
    assert (REFERENCE / "verified-on.md").read_text() == verified_page(records, runs)


def test_the_records_are_of_this_catalogue() -> None:
    records = read_records(REFERENCE / "records")
    places = {(r["torch"].partition("+")[0], r["onednn_bfloat16"]) for r in records}
    assert places >= {(torch, has) for torch in ("2.9.1", "2.13.0") for has in (True, False)}
    for content in records:
        assert [seen["id"] for seen in content["crossings"]] == list(CATALOGUE)
        assert all(seen["holds"] for seen in content["crossings"])
