"""Several runs in one picture."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tamiyo_rl.training import PPOConfig, compare_runs
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.log import RETURN, STEPS
from tamiyo_rl.training.runs.settings import RunSettings


def write_run(path: Path, log: dict[int, float], **settings: Any) -> Path:
    """Write a run with the returns by steps, NaN before the first episode has ended."""
    names = {name: value for name, value in settings.items() if name in PPOConfig.__annotations__}
    others = {name: value for name, value in settings.items() if name not in names}
    RunSettings(ppo=replace(PPOConfig(), **names), **others).write(RunFolder(path).config)
    lines = [f"{steps},{value}" for steps, value in log.items()]
    RunFolder(path).log.write_text("\n".join([f"{STEPS},{RETURN}", *lines, ""]))
    return path


def test_runs_of_one_kind_are_a_line_with_a_band(tmp_path: Path) -> None:
    nan = float("nan")
    runs = [
        write_run(tmp_path / "a", {10: nan, 20: 1, 30: 2, 40: 3}, seed=0),
        write_run(tmp_path / "b", {10: 0, 20: 3, 30: 6}, seed=1, threads=2, evaluate_every=5),
        write_run(tmp_path / "c", {10: 7, 20: 8}, seed=0, gamma=0.5, num_envs=4),
    ]
    first, second = compare_runs(runs, tmp_path / "new" / "picture.png")
    assert first.label == "num_envs=8, gamma=0.98"
    assert second.label == "num_envs=4, gamma=0.5"
    assert [first.runs, second.runs] == [2, 1]
    assert first.steps.tolist() == [20, 30]
    assert first.mean.tolist() == [2, 4]
    assert first.lowest.tolist() == [1, 2]
    assert first.highest.tolist() == [3, 6]
    assert second.mean.tolist() == second.lowest.tolist() == [7, 8]
    assert (tmp_path / "new" / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_steps_that_one_run_lacks_are_interpolated(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "a", {10: 0, 30: 2}, seed=0),
        write_run(tmp_path / "b", {10: 4, 20: 5, 30: 6}, seed=1),
    ]
    (curve,) = compare_runs(runs, tmp_path / "picture.png")
    assert curve.label == RunSettings().env
    assert curve.lowest.tolist() == [0, 1, 2]


def test_what_cannot_be_compared_is_named_and_draws_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {10: 1, 20: 2})
    bad = {
        "no run": ([], "runs: expected folders of runs, got none"),
        "no folder": ([run, tmp_path / "absent"], "absent: expected the folder of a run"),
        "no episode": ([write_run(tmp_path / "b", {})], "b: expected a run with an episode that h"),
        "another task": (
            [run, write_run(tmp_path / "c", {10: 1}, env="CartPole-v1")],
            "c: expected a run of tamiyo-rl/PositionOnlyCartPole-v1 as .*a is, got one of CartPole",
        ),
        "no common steps": (
            [run, write_run(tmp_path / "d", {30: 1}, seed=1)],
            "runs: expected runs of one kind that have steps in common, got 2",
        ),
    }
    for runs, message in bad.values():
        with pytest.raises(ValueError, match=message):
            compare_runs(runs, tmp_path / "picture.png")
    with pytest.raises(ValueError, match=r"picture: expected a file that ends with \.png, got"):
        compare_runs([run], tmp_path / "picture.jpg")
    assert not list(tmp_path.glob("picture*"))
