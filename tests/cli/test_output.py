"""What the command prints, and what it does when nobody reads it."""

import io
import os
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.console import Console

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.cli.progress import describe_return, show_progress
from tamiyo_rl.training import PPOConfig, RecurrentPPO, make_envs
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.log import read_log
from tests.cli.fork_server import ForkServer
from tests.cli.tiny import TINY


def test_a_training_goes_on_when_its_reader_is_gone(server: ForkServer, tmp_path: Path) -> None:
    pipe, folder = tmp_path / "pipe", tmp_path / "work"
    os.mkfifo(pipe)
    folder.mkdir()
    server.start("train", "a", *TINY, folder=folder, stdout=str(pipe))
    with pipe.open():
        pass
    finished = server.wait()
    assert finished.output == "tamiyo-rl: standard output: Broken pipe; the training goes on\n"
    assert finished.status == 0
    assert RunFolder(folder / "a").policy.exists()


def test_a_training_goes_on_when_its_output_is_full(server: ForkServer, tmp_path: Path) -> None:
    finished = server.run("train", "a", *TINY, folder=tmp_path, stdout="/dev/full")
    assert "standard output: No space left on device; the training goes on" in finished.output
    assert finished.status == 0
    assert RunFolder(tmp_path / "a").policy.exists()


def test_an_answer_that_cannot_be_written_is_an_error(server: ForkServer, tmp_path: Path) -> None:
    finished = server.run("tour", folder=tmp_path, stdout="/dev/full")
    assert finished.output == ("tamiyo-rl: [Errno 28] No space left on device: 'standard output'\n")
    assert finished.status == 2


def test_before_an_episode_has_ended_there_is_no_return(server: ForkServer, tmp_path: Path) -> None:
    assert describe_return(12.34) == "return 12.3 with sampled actions"
    settings = ("--num-steps", "4", "--total-steps", "32")
    finished = server.run("train", "a", *TINY, *settings, folder=tmp_path)
    assert "16/32 steps, no episode has ended yet, " in finished.output
    assert "nan" not in finished.output


def test_an_evaluation_is_shown_until_the_next(server: ForkServer, tmp_path: Path) -> None:
    judged = ("--evaluate-every", "3", "--evaluate-episodes", "4")
    finished = server.run("train", "a", *TINY, *judged, folder=tmp_path)
    first, *others = [line for line in finished.output.splitlines() if "/320 steps" in line]
    assert "with the most probable ones" not in first
    assert all(" with the most probable ones, " in line for line in others[2:])
    assert "wrote a/best.pt\n" in finished.output
    assert "and evaluations with the most probable ones\n" in finished.output
    assert "nan" not in finished.output


def test_steps_beyond_the_last_whole_rollout_are_spoken_of(
    server: ForkServer, run: RunFolder
) -> None:
    finished = server.run("train", "b", *TINY, "--total-steps", "340", folder=run.path.parent)
    whole = "320 steps, the whole rollouts in the 340 asked for\n"
    assert f"training in b: {whole}" in finished.output
    resumed = server.run("train", "--resume", "b", folder=run.path.parent)
    assert f"going on at 320 of {whole}" in resumed.output


def test_the_curve_is_said_to_be_of_sampled_actions(server: ForkServer, run: RunFolder) -> None:
    finished = server.run("train", "--resume", "a", folder=run.path.parent)
    assert (
        "the curve shows episodes with sampled actions; tamiyo-rl evaluate a plays the most "
        "probable ones\n"
    ) in finished.output


def test_a_number_of_steps_can_have_an_exponent(server: ForkServer, tmp_path: Path) -> None:
    finished = server.run("train", "a", *TINY, "--total-steps", "3.2e2", folder=tmp_path)
    assert finished.status == 0, finished.output
    assert read_log(tmp_path / "a" / "log.csv")[-1]["time/total_timesteps"] == 320


def test_the_version_is_printed(server: ForkServer, tmp_path: Path) -> None:
    finished = server.run("--version", folder=tmp_path)
    assert finished == (0, version("tamiyo-rl") + "\n")


@pytest.mark.parametrize("command", ["train", "evaluate", "record", "compare", "verify"])
def test_an_error_points_to_the_help_of_its_command(
    command: str, server: ForkServer, tmp_path: Path
) -> None:
    finished = server.run(command, "--no-such-option", folder=tmp_path)
    assert finished.status == 2
    assert f"tamiyo-rl {command} --help" in finished.output


def test_the_tour_breaks_no_sentence(server: ForkServer, tmp_path: Path) -> None:
    output = server.run("tour", folder=tmp_path).output
    advice = "do: compute them in the training call, with grad enabled, not from the rollout's out"
    assert advice in output


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(is_terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
    config = PPOConfig(total_steps=64, num_steps=8, sequence_length=4, num_minibatches=2, epochs=1)
    bundle = LSTMPolicyBundle(feature_dim=2, action_dims=2, hidden_dim=4)
    trainer = RecurrentPPO(make_envs(num_envs=4), bundle, config)
    with show_progress(console, trainer) as show:
        for report in trainer.train():
            show(report)
    output = console.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO
    assert "64/64 steps" in output
    assert "steps/s" in output
    assert ("\x1b" in output) == is_terminal
    assert ("\n32/64 steps, " in f"\n{output}") != is_terminal
