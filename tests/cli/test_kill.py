"""A run that is killed again and again is, to the last bit, the run that never was."""

import csv
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import torch

from tamiyo_rl.training import load_policy
from tamiyo_rl.training.runs.checkpoint import read_checkpoint
from tamiyo_rl.training.runs.folder import RunFolder
from tests.cli.fork_server import ForkServer

KILLS = 50
UPDATES = 240
SMALL = (
    *("--num-envs", "4", "--num-steps", "8", "--sequence-length", "4", "--num-minibatches", "2"),
    *("--epochs", "1", "--hidden-dim", "8", "--learn-initial-hidden", "--seed", "3"),
    *("--total-steps", str(UPDATES * 32), "--checkpoint-every", "1"),
)


def test_killed_at_fifty_moments_it_ends_as_if_it_never_was(
    server: ForkServer, tmp_path: Path
) -> None:
    whole, killed = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "killed")
    finished = server.run("train", "whole", *SMALL, folder=tmp_path)
    assert finished.status == 0, finished.output

    moments = random.Random(0)  # noqa: S311 - no secret
    steps, during_writes = 0, 0
    for kill in range(KILLS):
        begun, unfinished = killed.config.exists(), _unfinished(killed)
        arguments = ("--resume", "killed") if begun else ("killed", *SMALL)
        process = server.start("train", *arguments, folder=tmp_path)
        if kill % 2:
            _wait_for_a_write(killed, process, moments.randrange(4))
        else:
            time.sleep(moments.uniform(0.0, 0.3))
        os.kill(process, signal.SIGKILL)
        finished = server.wait()
        assert finished.status == -signal.SIGKILL, finished.output
        during_writes += _unfinished(killed) not in ({}, unfinished)
        before, steps = steps, _readable_steps(killed)
        assert steps >= before, "what was readable is lost"

    finished = server.run("train", "--resume", "killed", folder=tmp_path)
    assert finished.status == 0, finished.output
    print(f"kills {KILLS}, {during_writes} during a write, resumes {KILLS}, lost 0")  # noqa: T201 - `pytest -rP` shows it
    assert during_writes > KILLS // 10
    _assert_equal(whole, killed)


def _wait(_run: RunFolder, moments: random.Random) -> None:
    time.sleep(moments.uniform(0.0, 0.3))


def _wait_for_a_write(run: RunFolder, process: int, checkpoints: int) -> None:
    """Wait for some checkpoints, and then until the next one is being written."""
    before, last = _unfinished(run), run.latest_checkpoint()
    while checkpoints or _unfinished(run) in ({}, before):
        os.kill(process, 0)  # an error if it has ended
        newest = run.latest_checkpoint()
        checkpoints, last = checkpoints - (newest != last and checkpoints > 0), newest
        time.sleep(0.0002)


def _unfinished(run: RunFolder) -> dict[str, int]:
    """Return the files that are being written, or that a kill left so, and when they began."""
    began: dict[str, int] = {}
    for path in run.path.rglob("*.unfinished"):
        with suppress(FileNotFoundError):  # it is finished now
            began[path.name] = path.stat().st_mtime_ns
    return began


def _readable_steps(run: RunFolder) -> int:
    """Read every checkpoint there is; return the steps of the newest."""
    checkpoints = sorted(run.checkpoints.glob("checkpoint-*.pt"))
    steps = [int(read_checkpoint(path)["trainer"]["steps"]) for path in checkpoints]
    assert steps == [int(path.stem.split("-")[1]) for path in checkpoints]
    return max(steps, default=0)


def _assert_equal(whole: RunFolder, killed: RunFolder) -> None:
    one, other = (load_policy(run.policy) for run in (whole, killed))
    for (name, own), (_, got) in zip(
        one.bundle.named_parameters(), other.bundle.named_parameters(), strict=True
    ):
        assert own.equal(got), name
    features = torch.randn(5, 2)
    assert one.normalizer(features).equal(other.normalizer(features))
    logs = [
        [{name: value for name, value in row.items() if name != "time/fps"} for row in rows]
        for rows in (csv.DictReader(run.log.read_text().splitlines()) for run in (whole, killed))
    ]
    assert len(logs[0]) == UPDATES
    assert logs[0] == logs[1]
