"""One training at a time writes into a run folder, and a damaged log does not stop it."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from tamiyo_rl.training import load_policy
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.lock import lock_run
from tamiyo_rl.training.runs.log import read_log
from tamiyo_rl.training.runs.run import open_run
from tamiyo_rl.training.runs.settings import RunSettings
from tests.cli.fork_server import ForkServer
from tests.cli.tiny import ENDLESS, TINY, contents, files


@pytest.mark.parametrize("arguments", [("a", *TINY, "--overwrite"), ("--resume", "a")])
def test_a_folder_in_use_is_left_as_it_is(
    arguments: tuple[str, ...], server: ForkServer, run: RunFolder
) -> None:
    with lock_run(run.path):
        before = contents(run.path)
        finished = server.run("train", *arguments, folder=run.path.parent)
        assert contents(run.path) == before
    assert finished.status == 2
    assert "a: expected a folder that no other training uses, got the folder" in finished.output
    assert f"of process {os.getpid()} on " in finished.output


def test_a_killed_process_holds_no_lock(server: ForkServer, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a")
    process = server.start("train", "a", *TINY, *ENDLESS, folder=tmp_path)
    while not read_log(run.log):
        time.sleep(0.01)
    try:
        with pytest.raises(ValueError, match=f"folder of process {process} "), lock_run(run.path):
            pass
    finally:
        os.kill(process, signal.SIGKILL)
    assert server.wait().status == -signal.SIGKILL
    finished = server.run("train", "a", *TINY, "--overwrite", folder=tmp_path)
    assert finished.status == 0, finished.output


def test_the_default_folder_is_a_new_one_each_time(server: ForkServer, tmp_path: Path) -> None:
    for number in (1, 2):
        finished = server.run("train", *TINY, folder=tmp_path)
        assert finished.status == 0, finished.output
        assert f"training in runs/{number}: 320 steps\n" in finished.output
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["1", "2"]
    assert RunFolder.new(tmp_path / "runs").path.name == "3"


@pytest.mark.parametrize("damage", [bytes(300) + b"\n", b"1,2,3\n", b"\xff\xfe\n"])
def test_a_damaged_log_is_repaired_by_name(
    damage: bytes, server: ForkServer, run: RunFolder
) -> None:
    whole, parameters = run.log.read_bytes(), load_policy(run.policy).bundle.state_dict()
    lines = whole.splitlines(keepends=True)
    damaged = b"".join([*lines[:3], damage, *lines[3:]])
    run.log.write_bytes(damaged)
    finished = server.run("train", "--resume", "a", folder=run.path.parent)
    assert finished.status == 0, finished.output
    assert "a/log.csv: 1 damaged line dropped; a/log.csv.damaged is the file" in finished.output
    assert run.log.read_bytes() == whole
    assert (run.path / "log.csv.damaged").read_bytes() == damaged
    again = load_policy(run.policy).bundle.state_dict()
    assert all(again[name].equal(parameter) for name, parameter in parameters.items())


def test_a_script_leaves_what_the_command_leaves(run: RunFolder, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    with open_run(RunSettings.read(run.config), tmp_path / "b") as opened:
        reports = list(opened.train())
        with pytest.raises(ValueError, match="expected a folder that no other training uses"):
            lock_run(tmp_path / "b").__enter__()
    torch.set_num_threads(threads)
    assert files(tmp_path / "b") == files(run.path)
    assert [row["time/total_timesteps"] for row in read_log(run.log)] == [r.steps for r in reports]
    one, other = (load_policy(f.policy).bundle.state_dict() for f in (run, opened.folder))
    assert all(other[name].equal(parameter) for name, parameter in one.items())
