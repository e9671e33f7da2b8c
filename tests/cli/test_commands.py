"""The command, run as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

SHORT = ["--total-steps", "2100", "--epochs", "1", "--hidden-dim", "8"]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "tamiyo_rl", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own command


def test_train_then_evaluate(tmp_path: Path) -> None:
    trained = run("train", "runs/a", *SHORT, folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "2,048/2,048 steps" in trained.stdout
    folder = tmp_path / "runs" / "a"
    assert {path.name for path in folder.iterdir()} == {
        "policy.pt",
        "log.csv",
        "learning_curve.png",
    }
    assert len((folder / "log.csv").read_text().splitlines()) == 3
    assert (folder / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    evaluated = run("evaluate", "runs/a", "--episodes", "5", folder=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    assert "mean return of 5 episodes:" in evaluated.stdout
    assert "not solved" in evaluated.stdout


def test_tour_shows_the_warning_and_the_error(tmp_path: Path) -> None:
    tour = run("tour", folder=tmp_path)
    assert tour.returncode == 0, tour.stderr
    assert "hidden.h, hidden.c from LSTMPolicyBundle.initial_hidden" in tour.stdout
    assert "InferenceTensorWarning raised; nothing was computed." in tour.stdout
    assert "8 of 8 parameters trained" in tour.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "absent"], "absent/policy.pt"),
        (["evaluate", "absent", "--episodes", "0"], "episodes: expected an int of at least 1"),
        (["train", "--num-envs", "0"], "num_envs: expected an int of at least 1"),
        (["train", "--hidden-dim", "0"], "hidden_dim: expected an int of at least 1"),
        (["train", "--total-steps", "9"], "total_steps: expected at least the 1024 steps"),
        (["train", "--gamma", "2"], "gamma: expected a number from 0 to 1"),
        (["train", "--num-minibatches", "3"], "num_minibatches: expected a divisor"),
        (["train", "taken"], "taken"),
        (["fly"], "fly"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_bad_input_exits_with_2_and_says_why(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    finished = run(*arguments, folder=tmp_path)
    assert finished.returncode == 2
    assert message in finished.stderr + finished.stdout
    assert "Traceback" not in finished.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
