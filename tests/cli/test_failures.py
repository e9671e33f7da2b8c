"""Failures of a module, of a training and of an extra: a message, and a status of its own."""

import json
from pathlib import Path

import pytest

from tamiyo_rl.training.runs.log import read_log
from tests.cli.fork_server import ForkServer
from tests.cli.tiny import TASKS, TINY, files


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Give a folder with a module that registers environments."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "tasks.py").write_text(TASKS)
    return folder


def test_a_module_in_the_current_folder_is_found(server: ForkServer, work: Path) -> None:
    for command in (
        ("train", "a", *TINY, "--env", "tasks:Short-v0"),
        ("train", "--resume", "a"),
        ("evaluate", "a", "--episodes", "2"),
    ):
        finished = server.run(*command, folder=work)
        assert finished.status == 0, finished.output


def test_the_environments_are_closed(server: ForkServer, work: Path) -> None:
    server.run("train", "a", *TINY, "--env", "tasks:Short-v0", folder=work)
    assert (work / "closed").read_text() == "closed " * 4
    server.run("evaluate", "a", "--episodes", "2", folder=work)
    assert (work / "closed").read_text() == "closed " * 6
    refused = ("train", "b", *TINY, "--env", "tasks:Short-v0", "--hidden-dim", "0")
    assert server.run(*refused, folder=work).status == 2
    assert (work / "closed").read_text() == "closed " * 10


def test_a_training_that_breaks_an_invariant_ends_with_3(
    server: ForkServer, tmp_path: Path
) -> None:
    finished = server.run("train", "a", *TINY, "--learning-rate", "1e30", folder=tmp_path)
    assert finished.status == 3, finished.output
    assert "Traceback" not in finished.output
    assert "tamiyo-rl: " in finished.output
    assert "expected" in finished.output
    assert "do: " in finished.output


def test_a_missing_tensorboard_is_named_before_anything_is_written(
    server: ForkServer, work: Path
) -> None:
    (work / "tensorboard.py").write_text("raise ImportError")  # found before the installed one
    finished = server.run("train", "a", *TINY, "--tensorboard", folder=work)
    assert finished.status == 2
    assert "--tensorboard: expected it to be installed, got no such package" in finished.output
    assert "pip" not in finished.output
    assert files(work) == {"tasks.py", "tensorboard.py"}


def test_a_run_keeps_its_arguments_and_wrappers(server: ForkServer, work: Path) -> None:
    task = ("--env", "tasks:Short-v0", "--env-kwargs", "last=5", "--wrappers", "tasks:Doubled")
    finished = server.run("train", "a", *TINY, *task, "--vectorization", "async", folder=work)
    assert finished.status == 0, finished.output
    log = read_log(work / "a" / "log.csv")
    assert log[-1]["rollout/ep_len_mean"] == 5
    other = ("--env-kwargs", "last=6")
    refused = server.run("train", "--resume", "a", *other, folder=work)
    assert (
        "--env-kwargs: expected {'last': 5} as the run in a has, got {'last': 6}" in refused.output
    )
    assert server.run("train", "--resume", "a", folder=work).status == 0
    played = json.loads(server.run("evaluate", "a", "--json", folder=work).output)
    assert set(played["lengths"]) == {5}
    assert {value % 2 for value in played["returns"]} == {0}
    elsewhere = ("--env", "tasks:Short-v0", "--json")  # with its own arguments, in the wrappers
    played = json.loads(server.run("evaluate", "a", *elsewhere, folder=work).output)
    assert set(played["lengths"]) == {3}
    assert {value % 2 for value in played["returns"]} == {0}
