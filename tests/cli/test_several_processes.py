"""`torchrun -m tamiyo_rl train`: stopped, resumed, and with a process that dies."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tamiyo_rl.training import load_policy
from tamiyo_rl.training.runs.checkpoint import read_checkpoint
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.log import read_log
from tests.cli.fork_server import ForkServer
from tests.torchrun import children, start_group

SMALL = (
    *("--num-envs", "4", "--num-steps", "8", "--sequence-length", "4", "--num-minibatches", "2"),
    *("--epochs", "1", "--hidden-dim", "8", "--learn-initial-hidden", "--checkpoint-every", "1"),
)
LONG = ("--total-steps", "32000000")


def start(run: RunFolder, *arguments: str) -> subprocess.Popen[str]:
    """Start two processes that train, and wait for two checkpoints."""
    group = start_group("tamiyo_rl", "train", *arguments)
    before = run.latest_checkpoint()
    while len(list(run.checkpoints.glob("*.pt"))) < 2 or run.latest_checkpoint() == before:
        assert group.poll() is None, group.communicate()[0]
        time.sleep(0.01)
    return group


def test_a_process_that_dies_takes_the_others_down_with_a_message(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    group = start(run, str(run.path), *SMALL, *LONG)
    os.kill(children(group.pid)[1], signal.SIGKILL)
    output, _ = group.communicate(timeout=60)
    assert group.returncode == 1
    assert "tamiyo-rl: process 0 of 2: another process died or hangs" in output
    assert "Signal 9 (SIGKILL)" in output
    assert read_checkpoint(run.require_checkpoint())["trainer"]["steps"] > 0


def test_a_group_that_is_stopped_goes_on_as_if_it_never_was(tmp_path: Path) -> None:
    whole, stopped = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "stopped")
    settings = (*SMALL, "--total-steps", "960")
    group = start(stopped, str(stopped.path), *settings)
    group.send_signal(signal.SIGTERM)
    output, _ = group.communicate(timeout=60)
    assert "goes on from here" in output
    assert not stopped.policy.exists()
    for arguments in (["--resume", str(stopped.path)], [str(whole.path), *settings]):
        group = start_group("tamiyo_rl", "train", *arguments)
        output, _ = group.communicate(timeout=120)
        assert group.returncode == 0, output
    one, other = (load_policy(run.policy).bundle.state_dict() for run in (whole, stopped))
    assert all(other[name].equal(parameter) for name, parameter in one.items())


def test_a_group_evaluates_alike_and_stops_together(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    goal = ("--evaluate-every", "2", "--stop-at", "1", "--target-kl", "1e-9", "--epochs", "3")
    group = start_group("tamiyo_rl", "train", str(run.path), *SMALL, *LONG, *goal)
    output, _ = group.communicate(timeout=60)
    assert group.returncode == 0, output
    assert "an evaluation reached the return of 1\n" in output
    assert [row["time/total_timesteps"] for row in read_log(run.log)] == [32, 64]
    best, last = (load_policy(path).bundle.state_dict() for path in (run.best, run.policy))
    assert all(last[name].equal(parameter) for name, parameter in best.items())


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("two") / "run")
    group = start_group("tamiyo_rl", "train", str(run.path), *SMALL, "--total-steps", "64")
    output, _ = group.communicate(timeout=60)
    assert group.returncode == 0, output
    assert output.count("wrote") == 3  # the first process alone speaks
    return run


def test_another_number_of_processes_is_named(of_two: RunFolder, server: ForkServer) -> None:
    finished = server.run("train", "--resume", "run", folder=of_two.path.parent)
    assert finished.status == 2
    assert "processes: expected 2 as when it was saved, got 1" in finished.output


def test_environments_that_cannot_be_shared_out_are_named(tmp_path: Path) -> None:
    settings = (*SMALL, "--total-steps", "960", "--num-envs", "3")
    group = start_group("tamiyo_rl", "train", str(tmp_path / "run"), *settings)
    output, _ = group.communicate(timeout=60)
    assert group.returncode == 1
    assert "--num-envs: expected a multiple of the 2 processes, got 3" in output
    assert "Traceback (most recent call last):\n  File" not in output.split("tamiyo-rl:")[0]
    assert not (tmp_path / "run").exists()
