"""`tamiyo-rl evaluate`: of a run or of a file, for people and for programs."""

import json

import pytest

from tamiyo_rl.training.runs.folder import RunFolder
from tests.cli.fork_server import ForkServer
from tests.cli.tiny import TASKS

FEW = ("--episodes", "5", "--num-envs", "2")


def test_a_run_and_its_policy_play_the_same(server: ForkServer, run: RunFolder) -> None:
    printed = [
        server.run("evaluate", path, *FEW, folder=run.path.parent) for path in ("a", "a/policy.pt")
    ]
    assert printed[0] == printed[1]
    assert printed[0].status == 0, printed[0].output
    assert printed[0].output.startswith("mean return of 5 episodes: ")
    assert ", standard deviation " in printed[0].output
    assert "\nmean length " in printed[0].output


def test_the_lowest_and_the_highest_are_of_the_episodes(server: ForkServer, run: RunFolder) -> None:
    def play(*options: str) -> str:
        return server.run("evaluate", "a", *FEW, *options, folder=run.path.parent).output

    record = json.loads(play("--json"))
    low, high = min(record["returns"]), max(record["returns"])
    assert (record["lowest"], record["highest"]) == (low, high)
    assert record["lengths"] == record["returns"]  # CartPole gives 1 for each step
    printed = play()
    assert f", lowest {low:.1f}, highest {high:.1f} (not solved: 475)\n" in printed
    assert f" steps, shortest {low:.0f}, longest {high:.0f}\n" in printed


def test_a_policy_without_a_run_needs_an_environment(server: ForkServer, run: RunFolder) -> None:
    folder = run.path.parent
    run.policy.rename(folder / "policy.pt")
    refused = server.run("evaluate", "policy.pt", *FEW, folder=folder)
    assert refused.status == 2
    assert "--env: expected the environment that policy.pt plays, got none" in refused.output
    task = ("--env", "tamiyo-rl/PositionOnlyCartPole-v1")
    assert server.run("evaluate", "policy.pt", *FEW, *task, folder=folder).status == 0


@pytest.mark.parametrize("options", [(), ("--stochastic",)])
def test_json_holds_every_return(
    options: tuple[str, ...], server: ForkServer, run: RunFolder
) -> None:
    finished = server.run("evaluate", "a", *FEW, *options, "--json", folder=run.path.parent)
    record = json.loads(finished.output)
    assert len(record["returns"]) == len(record["lengths"]) == 5
    assert record["mean"] == pytest.approx(sum(record["returns"]) / 5)
    assert record["stochastic"] == bool(options)
    assert record["solved_at"] == 475
    assert record["policy"] == f"a/checkpoints/{run.require_checkpoint().name}"


def test_sampled_actions_are_others_and_repeatable(server: ForkServer, run: RunFolder) -> None:
    def play(*options: str) -> str:
        return server.run("evaluate", "a", *FEW, *options, folder=run.path.parent).output

    sampled = play("--stochastic")
    assert "played with sampled actions, as the learning curve shows" in sampled
    assert play("--stochastic") == sampled
    assert play().splitlines()[0] != sampled.splitlines()[0]


def test_an_episode_without_an_end_is_an_error(server: ForkServer, run: RunFolder) -> None:
    (run.path.parent / "tasks.py").write_text(TASKS)
    endless = ("--env", "tasks:Endless-v0", "--max-steps", "7")
    finished = server.run("evaluate", "a", *FEW, *endless, folder=run.path.parent)
    assert finished.status == 2
    assert "--max-steps: expected episodes of at most 7 steps" in finished.output


def test_several_runs_are_compared_in_a_picture(server: ForkServer, run: RunFolder) -> None:
    finished = server.run("compare", "a", "a", folder=run.path.parent)
    assert finished.status == 0, finished.output
    first, last = finished.output.splitlines()
    assert first.startswith("tamiyo-rl/PositionOnlyCartPole-v1: 2 runs, return ")
    assert " with sampled actions at 320 steps, lowest " in first
    assert last == "wrote compare.png"
    refused = server.run("compare", "a", "absent", folder=run.path.parent)
    assert refused.status == 2
    assert "absent: expected the folder of a run, got no config.json in it" in refused.output
