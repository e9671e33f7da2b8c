"""The matrix of Pythons and PyTorches: pins, interpreters and counts; no environment is built."""

import sys
from pathlib import Path

import pytest
from tools import matrix


def test_a_pair_is_read() -> None:
    assert matrix.parse("3.12/2.13.0") == ("3.12", "2.13.0")


@pytest.mark.parametrize("text", ["3.12", "2.13.0/3.12/1", "3.12/latest", ""])
def test_what_is_not_a_pair_is_named(text: str) -> None:
    with pytest.raises(SystemExit, match="pair: expected PYTHON/TORCH such as"):
        matrix.parse(text)


def test_the_pins_get_another_pytorch_and_lose_what_depends_on_it() -> None:
    pins = matrix.constraints("2.9.1").splitlines()
    names = [pin.partition("==")[0] for pin in pins]
    assert "torch==2.9.1" in pins
    assert names.count("torch") == 1
    assert "numpy" in names
    assert not {"tensordict", "torchrl", "stable_baselines3"} & set(names)


def test_the_pinned_pytorch_keeps_all_pins() -> None:
    pinned = (matrix.ROOT / "constraints.txt").read_text("utf-8")
    (torch,) = (pin[7:] for pin in pinned.splitlines() if pin.startswith("torch=="))
    assert matrix.constraints(torch) == pinned


def test_this_interpreter_is_found_and_a_missing_one_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert version in matrix.find_python(version)
    with pytest.raises(matrix.Unavailable, match=r"no Python 3\.99"):
        matrix.find_python("3.99")


def test_the_counts_are_those_of_all_runs_of_pytest() -> None:
    log = """
tests/a.py 5 failed in a sentence
====== 2 failed, 1268 passed, 4 deselected, 1 error in 300.12s (0:05:00) ======
7 passed, 2 skipped in 3.20s
"""
    assert matrix.counts(log) == {"passed": 1275, "failed": 2, "error": 1, "skipped": 2}


def test_a_pair_that_cannot_be_had_is_reported_and_does_not_stop_the_rest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(matrix, "LOGS", tmp_path)
    assert matrix.main(["3.98/2.13.0", "3.99/2.13.0"]) == 1
    assert capsys.readouterr().out.count("UNAVAILABLE: no Python 3.9") == 2
