"""The command, run as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tamiyo_rl.training import load_policy
from tamiyo_rl.training.runs.checkpoint import read_checkpoint
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.log import read_log
from tamiyo_rl.training.runs.settings import RunSettings
from tests.cli.fork_server import Finished, ForkServer
from tests.cli.tiny import ENDLESS, TINY, contents, files

SHORT = ("--total-steps", "2100", "--epochs", "1", "--hidden-dim", "8")


def test_train_then_evaluate_from_a_shell(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", "-m", "tamiyo_rl"]
    trained = subprocess.run(  # noqa: S603 - our own command
        [*command, "train", "runs/a", *SHORT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert trained.returncode == 0, trained.stderr
    assert "2,048/2,048 steps" in trained.stdout
    assert "\x1b" not in trained.stdout
    run = RunFolder(tmp_path / "runs" / "a")
    assert files(run.path) == {
        ".lock",
        "config.json",
        "log.csv",
        "learning_curve.png",
        "policy.pt",
        "checkpoints/checkpoint-000000002048.pt",
    }
    assert [row["time/total_timesteps"] for row in read_log(run.log)] == [*range(256, 2049, 256)]
    assert run.curve.read_bytes().startswith(b"\x89PNG")
    evaluated = subprocess.run(  # noqa: S603 - our own command
        [*command, "evaluate", "runs/a", "--episodes", "5"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert evaluated.returncode == 0, evaluated.stderr
    assert "mean return of 5 episodes:" in evaluated.stdout
    assert "not solved: 475" in evaluated.stdout
    assert "with the most probable actions; the learning curve shows sampled" in evaluated.stdout


def test_the_config_says_what_was_run_with_what(server: ForkServer, tmp_path: Path) -> None:
    server.run("train", "a", *TINY, "--env", "CartPole-v1", "--seed", "7", folder=tmp_path)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["settings"]["env"] == "CartPole-v1"
    assert config["settings"]["ppo"]["seed"] == 7
    assert config["versions"]["torch"] == str(torch.__version__)


def test_tour_shows_the_warning_and_the_error(server: ForkServer, tmp_path: Path) -> None:
    tour = server.run("tour", folder=tmp_path)
    assert tour.status == 0, tour.output
    assert "hidden.h, hidden.c from LSTMPolicyBundle.initial_hidden" in tour.output
    assert "InferenceTensorWarning raised; nothing was computed." in tour.output
    assert "8 of 8 parameters trained" in tour.output


BAD = [
    (["evaluate", "absent"], "absent: expected the folder of a run, got no config.json in it"),
    (["evaluate", "absent", "--episodes", "0"], "--episodes: expected an int of at least 1"),
    (["evaluate", "absent", "--num-envs", "0"], "--num-envs: expected an int of at least 1"),
    (["evaluate", "absent", "--max-steps", "0"], "--max-steps: expected an int of at least 1"),
    (["evaluate", "taken"], "taken: expected a saved policy, got a damaged or foreign file"),
    (["train", "--num-envs", "0"], "--num-envs: expected an int of at least 1"),
    (["train", "--hidden-dim", "0"], "--hidden-dim: expected an int of at least 1"),
    (["train", "--total-steps", "9"], "--total-steps: expected at least the 32 steps"),
    (["train", "--gamma", "2"], "--gamma: expected a number from 0 to 1"),
    (["train", "--learning-rate", "nan"], "--learning-rate: expected a number positive"),
    (["train", "--learning-rate", "-1"], "--learning-rate: expected a number positive"),
    (["train", "--evaluate-every", "0"], "--evaluate-every: expected an int of at least 1"),
    (["train", "--evaluate-episodes", "0"], "--evaluate-episodes: expected an int of at least 1"),
    (["train", "--env-kwargs", "a=1"], "got an unexpected keyword argument 'a'"),
    (["train", "--env-kwargs", "a"], "Error parsing --env-kwargs: expected NAME=VALUE, got a"),
    (["train", "--env-kwargs", "a={1}"], "--env-kwargs: expected a value that JSON has, got {1}"),
    (["train", "--wrappers", "os"], "--wrappers: expected module:Wrapper, such as gymnasium.wrap"),
    (["train", "--wrappers", "os:path"], "--wrappers: expected module:Wrapper, such as gymnasium"),
    (["train", "--wrappers", "no:A"], "--wrappers: expected module:Wrapper, such as gymnasium.wra"),
    (["train", "--wrappers", "builtins:len"], "TypeError: object of type"),
    (["train", "--vectorization", "many"], "invalid choice 'many' for argument '--vectorization'"),
    (["train", "--init-from", "absent.pt"], "No such file or directory: 'absent.pt'"),
    (["train", "--init-from", "taken"], "taken: expected a saved policy, got a damaged or foreign"),
    (["train", "--stop-at", "475"], "--stop-at: expected evaluations whose return can be 475, go"),
    (["train", "--evaluate-every", "1", "--stop-at", "nan"], "--stop-at: expected a number from"),
    (["train", "--target-kl", "0"], "--target-kl: expected a number positive and finite"),
    (
        ["train", "--clip-range-schedule", "cosine"],
        "invalid choice 'cosine' for argument '--clip-range-schedule'",
    ),
    (["train", "--num-minibatches", "3"], "--num-minibatches: expected a divisor"),
    (["train", "--checkpoint-every", "0"], "--checkpoint-every: expected an int of at least 1"),
    (["train", "--keep-checkpoints", "0"], "--keep-checkpoints: expected an int of at least 1"),
    (["train", "--env", "Nothing-v3"], "--env: expected an environment that Gymnasium can make"),
    (["train", "--env", "nowhere:A-v0"], "ModuleNotFoundError: No module named 'nowhere'"),
    (["train", "--encoder", "cnn"], 'encoder: expected images for "cnn"'),
    (["train", "taken"], "taken"),
    (["train", "taken/below"], "taken"),
    (["train", "--resume", "absent"], "absent: expected the folder of a run, got no config.json"),
    (["train", "--resume", "taken"], "taken: expected the folder of a run, got no config.json"),
    (["train", "--num-envs", "many"], "num-envs: expected a whole number, got many"),
    (["train", "--total-steps", "1.5"], "total-steps: expected a whole number, got 1.5"),
    (["train", "--total-steps", "inf"], "total-steps: expected a whole number, got inf"),
    pytest.param(
        ["train", "--device", "cuda"],
        "device: expected one that this machine has, got cuda:0 of 0",
        marks=pytest.mark.skipif(torch.cuda.is_available(), reason="it has one"),
    ),
    (["fly"], "fly"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda value: str(value)[:60])
def test_bad_input_exits_with_2_and_says_why(
    arguments: list[str], message: str, server: ForkServer, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "taken").write_text("a file")
    command, *rest = arguments
    tiny = TINY if command == "train" else ()  # a check that fails to refuse trains no minutes
    finished = server.run(command, *tiny, *rest, folder=folder)
    assert finished.status == 2
    assert message in finished.output
    assert "Traceback" not in finished.output
    assert files(folder) == {"taken"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "a: expected a folder without a run, got the folder of one"),
        (["--resume", "a", "--env", "CartPole-v1"], "--env: expected 'tamiyo-rl/PositionOnly"),
        (["--resume", "a", "--seed", "1"], "--seed: expected 0 as the run in a has, got 1"),
        (["--resume", "a", "--total-steps", "319"], "total_steps: expected at least the 320 steps"),
        (
            ["b", "--init-from", "a/policy.pt", "--hidden-dim", "9"],
            "--init-from: expected a policy",
        ),
        (["--resume", "a", "--overwrite"], "--resume: expected only the folder of a run"),
        (["b", "--resume", "a"], "--resume: expected only the folder of a run"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_run_is_neither_overwritten_nor_resumed_as_another(
    arguments: list[str], message: str, server: ForkServer, run: RunFolder
) -> None:
    before = contents(run.path)
    finished = server.run("train", *TINY, *arguments, folder=run.path.parent)
    assert finished.status == 2
    assert message in finished.output
    assert contents(run.path) == before


def test_overwrite_replaces_the_run_and_nothing_else(server: ForkServer, run: RunFolder) -> None:
    (run.path / "notes.txt").write_text("mine")
    finished = server.run("train", "a", *TINY, "--seed", "1", "--overwrite", folder=run.path.parent)
    assert finished.status == 0, finished.output
    assert len(read_log(run.log)) == 10
    assert RunSettings.read(run.config).ppo.seed == 1
    assert (run.path / "notes.txt").read_text() == "mine"


def test_a_finished_run_resumes_to_the_same_end(server: ForkServer, run: RunFolder) -> None:
    parameters = load_policy(run.policy).bundle.state_dict()
    finished = server.run("train", "--resume", "a", folder=run.path.parent)
    assert finished.status == 0, finished.output
    assert "going on at 320 of 320 steps" in finished.output
    again = load_policy(run.policy).bundle.state_dict()
    assert all(again[name].equal(parameter) for name, parameter in parameters.items())
    assert len(read_log(run.log)) == 10


def test_a_gru_is_trained_resumed_and_evaluated(server: ForkServer, tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a")
    finished = server.run("train", "a", *TINY, "--cell", "gru", folder=tmp_path)
    assert finished.status == 0, finished.output
    assert RunSettings.read(run.config).cell == "gru"
    assert load_policy(run.policy).bundle.settings()["cell"] == "gru"
    for command in (("train", "--resume", "a"), ("evaluate", "a", "--episodes", "2")):
        finished = server.run(*command, folder=tmp_path)
        assert finished.status == 0, finished.output


def test_a_finished_run_trains_further(server: ForkServer, run: RunFolder) -> None:
    more = ("--resume", "a", "--total-steps", "640")
    finished = server.run("train", *more, folder=run.path.parent)
    assert finished.status == 0, finished.output
    assert "going on at 320 of 640 steps" in finished.output
    log = read_log(run.log)
    assert [row["time/total_timesteps"] for row in log] == [*range(32, 641, 32)]
    assert log[9]["train/learning_rate"] == pytest.approx(2e-3 / 10)
    assert log[10]["train/learning_rate"] == pytest.approx(2e-3 / 2)
    assert RunSettings.read(run.config).ppo.total_steps == 640
    again = server.run("train", "--resume", "a", folder=run.path.parent)
    assert "going on at 640 of 640 steps" in again.output


def test_a_training_begins_with_a_saved_policy(server: ForkServer, run: RunFolder) -> None:
    begun = ("b", *TINY, "--init-from", "a/policy.pt", "--learning-rate", "1e-30")
    finished = server.run("train", *begun, folder=run.path.parent)
    assert finished.status == 0, finished.output
    first, second = (load_policy(run.path.parent / name / "policy.pt") for name in "ab")
    other = second.bundle.state_dict()
    assert all(other[name].equal(value) for name, value in first.bundle.state_dict().items())
    counts = [policy.normalizer.state_dict()["count"] for policy in (first, second)]
    assert counts[1] > counts[0] > 0


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[:-100])
    elif kind == "flipped":
        place = content.index(b"updater")
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    elif kind == "newer":
        torch.save(torch.load(path, weights_only=True) | {"format": 99}, path)
    else:
        path.write_bytes(b"something else")


@pytest.mark.parametrize("kind", ["truncated", "flipped", "newer", "foreign"])
@pytest.mark.parametrize("command", [("train", "--resume", "a"), ("evaluate", "a")])
def test_a_checkpoint_that_is_not_good_is_named_and_left(
    kind: str, command: tuple[str, ...], server: ForkServer, run: RunFolder
) -> None:
    newest = run.require_checkpoint()
    damage(newest, kind)
    before = newest.read_bytes()
    finished = server.run(*command, folder=run.path.parent)
    assert finished.status == 2
    assert f"checkpoints/{newest.name}: expected" in finished.output
    assert "Traceback" not in finished.output
    assert newest.read_bytes() == before


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 2}', '{"format": 1, "settings": {"hidden": 3}}']
)
def test_a_config_that_is_not_good_is_named(
    content: str, server: ForkServer, run: RunFolder
) -> None:
    run.config.write_text(content)
    finished = server.run("train", "--resume", "a", folder=run.path.parent)
    assert finished.status == 2
    assert "config.json: expected" in finished.output
    assert "Traceback" not in finished.output


def test_a_full_disk_ends_the_run_and_keeps_the_last_good_checkpoint(
    server: ForkServer, run: RunFolder
) -> None:
    last, kept = run.require_checkpoint(), run.checkpoints / "checkpoint-000000000160.pt"
    size, parameters = last.stat().st_size, load_policy(run.policy).bundle.state_dict()
    last.unlink()
    finished = server.run("train", "--resume", "a", folder=run.path.parent, file_size=size // 2)
    assert finished.status == 2
    assert f"File too large; nothing was changed at: 'a/checkpoints/{last.name}'" in finished.output
    assert "Traceback" not in finished.output
    assert files(run.checkpoints) == {kept.name}
    assert server.run("train", "--resume", "a", folder=run.path.parent).status == 0
    again = load_policy(run.policy).bundle.state_dict()
    assert all(again[name].equal(parameter) for name, parameter in parameters.items())


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_finishes_the_update_saves_and_stops(
    number: signal.Signals, status: int, server: ForkServer, tmp_path: Path
) -> None:
    finished = stop_after_first_update(number, server, tmp_path)
    assert finished.status == status, finished.output
    assert "train --resume a goes on from here" in finished.output
    run = RunFolder(tmp_path / "a")
    steps = read_log(run.log)[-1]["time/total_timesteps"]
    assert read_checkpoint(run.require_checkpoint())["trainer"]["steps"] == steps
    assert not run.policy.exists()
    assert server.run("evaluate", "a", "--episodes", "2", folder=tmp_path).status == 0


def stop_after_first_update(number: signal.Signals, server: ForkServer, folder: Path) -> Finished:
    process = server.start("train", "a", *TINY, *ENDLESS, folder=folder)
    while not read_log(folder / "a" / "log.csv"):
        time.sleep(0.01)
    os.kill(process, number)
    return server.wait()
