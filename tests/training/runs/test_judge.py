"""A run that is evaluated on its way, keeps its best policy, and stops at a return."""

import json
import math
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from tamiyo_rl.training import PPOConfig, UpdateReport, evaluate_policy, load_policy, make_envs
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.judge import SEED, Judge
from tamiyo_rl.training.runs.log import EVALUATED, RETURN, STEPS, read_log
from tamiyo_rl.training.runs.run import open_run
from tamiyo_rl.training.runs.settings import RunSettings

Reports = list[UpdateReport]
PPO: dict[str, Any] = {
    "num_steps": 8,
    "sequence_length": 4,
    "num_minibatches": 2,
    "epochs": 1,
    "total_steps": 320,
}


class Global(gymnasium.Env[Any, Any]):
    """Draws from NumPy's global generator, as an environment should not."""

    observation_space = gymnasium.spaces.Box(0, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.draw(), {}

    def step(self, action: Any) -> Any:
        return self.draw(), float(action), bool(self.draw()[0] > 0.9), False, {}

    def draw(self) -> Any:
        return np.random.random(2).astype(np.float32)  # noqa: NPY002 - the global generator


gymnasium.register("Global-v0", lambda **_: Global())


def settings(**others: Any) -> RunSettings:
    return RunSettings(
        num_envs=4, hidden_dim=8, evaluate_episodes=6, ppo=PPOConfig(**PPO), **others
    )


def train(folder: Path, *, stop: int = 0, resume: bool = False, **others: Any) -> Reports:
    """Train, and stop as a signal does after some updates."""
    reports = []
    with open_run(settings(**others), folder, resume=resume) as run:
        for report in run.train():
            reports.append(report)
            if len(reports) == stop:
                break
    return reports


def parameters(path: Path) -> dict[str, torch.Tensor]:
    return load_policy(path).bundle.state_dict()


def same(one: Path, other: Path) -> bool:
    pairs = zip(parameters(one).values(), parameters(other).values(), strict=True)
    return all(mine.equal(its) for mine, its in pairs)


def evaluations(run: RunFolder) -> dict[float, float]:
    return {
        row[STEPS]: row[EVALUATED] for row in read_log(run.log) if not math.isnan(row[EVALUATED])
    }


def test_the_training_goes_on_as_if_nothing_had_been_evaluated(tmp_path: Path) -> None:
    for name, every in {"judged": 1, "plain": None}.items():
        np.random.seed(0)  # noqa: NPY002 - the global generator
        train(tmp_path / name, env="Global-v0", evaluate_every=every)
    judged, plain = RunFolder(tmp_path / "judged"), RunFolder(tmp_path / "plain")
    assert same(judged.policy, plain.policy)
    assert not plain.best.exists()
    returns = [[row[RETURN] for row in read_log(run.log)][5:] for run in (judged, plain)]
    assert returns[0] == returns[1]
    assert EVALUATED not in read_log(plain.log)[0]


def test_the_best_policy_is_the_one_whose_evaluation_was(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    train(run.path, evaluate_every=3)
    means = evaluations(run)
    assert list(means) == [96, 192, 288, 320]  # after the last update too
    saved = load_policy(run.best)
    again = evaluate_policy(
        saved.bundle, make_envs(num_envs=4), saved.normalizer, episodes=6, seed=SEED
    )
    assert again.mean() == max(means.values())
    assert run.curve.exists()


def test_a_checkpoint_is_written_with_the_best_policy(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with open_run(settings(evaluate_every=1, checkpoint_every=1000), run.path) as opened:
        next(opened.train())
    assert run.best.exists()
    assert run.require_checkpoint().name == "checkpoint-000000000032.pt"


def test_a_run_that_goes_on_knows_its_best(tmp_path: Path) -> None:
    whole, halved = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "halved")
    train(whole.path, evaluate_every=1, checkpoint_every=1)
    train(halved.path, evaluate_every=1, checkpoint_every=1, stop=5)
    train(halved.path, evaluate_every=1, checkpoint_every=1, resume=True)
    assert evaluations(halved) == evaluations(whole)
    assert same(halved.best, whole.best)


def test_it_stops_at_a_return_for_good(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    reports = train(run.path, evaluate_every=2, stop_at=1.0)
    assert [report.steps for report in reports] == [32, 64]
    assert same(run.policy, run.best)
    assert train(run.path, evaluate_every=2, stop_at=1.0, resume=True) == []


def test_a_policy_that_does_not_end_its_episode_stops_no_training(tmp_path: Path) -> None:
    with open_run(settings(), tmp_path / "run") as run:
        report = next(run.train())
        judges = make_envs(num_envs=2)
        judge = Judge(run.trainer, judges, every=1, episodes=2, best=5.0, max_steps=2)
        judged, is_best = judge.judge(report)
    assert math.isnan(judged.evaluation_return or 0)
    assert (is_best, judge.best) == (False, 5.0)


def test_a_new_run_leaves_no_best_policy_of_an_old_one(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    train(run.path, evaluate_every=5)
    with open_run(settings(), run.path, overwrite=True):
        assert not run.best.exists()


def test_an_older_config_has_the_defaults_of_newer_settings(tmp_path: Path) -> None:
    config = RunFolder(tmp_path).config
    RunSettings().write(config)
    content = json.loads(config.read_text())
    for name in ("evaluate_every", "evaluate_episodes", "stop_at"):
        del content["settings"][name]
    del content["settings"]["ppo"]["target_kl"]
    config.write_text(json.dumps(content))
    assert RunSettings.read(config) == RunSettings()


@pytest.mark.parametrize("wrong", [{"num_envs": 2.0}, {"evaluate_every": "3"}, {"stop_at": "9"}])
def test_a_config_with_a_wrong_type_is_named(wrong: dict[str, Any], tmp_path: Path) -> None:
    config = RunFolder(tmp_path).config
    RunSettings().write(config)
    content = json.loads(config.read_text())
    content["settings"] |= wrong
    config.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
        RunSettings.read(config)
