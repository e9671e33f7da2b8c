"""A state that does not fit changes nothing, whatever part of it fails."""

import copy
import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from tamiyo_rl.training import RecurrentPPO, make_envs
from tamiyo_rl.training.ppo.seeding import random_state
from tests.training.runs.test_checkpoint import Counters, make_trainer, same, train

Damage = Callable[[dict[str, Any]], Any]


def own(state: dict[str, Any]) -> Any:
    return state["processes"][0]


DAMAGES: dict[str, Damage] = {
    "no settings": lambda state: state.pop("config"),
    "no processes": lambda state: state.pop("processes"),
    "no policy": lambda state: state.pop("policy"),
    "a parameter": lambda state: state["policy"].popitem(),
    "no optimizer": lambda state: state["updater"].pop("optimizer"),
    "its groups": lambda state: state["updater"]["optimizer"].update(param_groups=[]),
    "no normalizer": lambda state: own(state)["collector"].pop("normalizer"),
    "no scaler": lambda state: own(state)["collector"].pop("reward_scaler"),
    "no episodes": lambda state: own(state)["collector"].pop("episodes"),
    "an episode": lambda state: own(state)["collector"]["episodes"].update(_return=0.0),
    "no features": lambda state: own(state)["collector"].pop("features"),
    "features": lambda state: own(state)["collector"].update(features=torch.zeros(2, 2)),
    "hidden": lambda state: own(state)["collector"].update(hidden=[torch.zeros(1)] * 2),
    "one hidden": lambda state: own(state)["collector"]["hidden"].pop(),
    "starts": lambda state: own(state)["collector"].update(starts=torch.zeros(4)),
    "ended": lambda state: own(state)["collector"]["stepper"].update(_ended=None),
    "no masks": lambda state: own(state)["collector"]["stepper"].pop("masks"),
    "no environment": lambda state: environments(state).popitem(),
    "their random numbers": lambda state: environments(state).update(random=3),
    "what comes last": lambda state: environments(state).update(prev_done=3),
    "torch": lambda state: own(state)["random"].update(torch=torch.zeros(5, dtype=torch.uint8)),
    "no torch": lambda state: own(state)["random"].pop("torch"),
    "numpy": lambda state: own(state)["random"].update(numpy=3),
    "python": lambda state: own(state)["random"].update(python=None),
}


def environments(state: dict[str, Any]) -> Any:
    return own(state)["collector"]["stepper"]["environments"]


def begun(envs: Any, updates: int) -> RecurrentPPO:
    trainer = make_trainer(envs)
    train(trainer, updates)
    return trainer


def everything(trainer: RecurrentPPO) -> Any:
    return copy.deepcopy(trainer.state_dict())


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_nothing_changes_whatever_part_fails(damage: Damage) -> None:
    def make() -> Any:
        return make_envs(num_envs=4)

    trainer, state = begun(make(), 2), everything(begun(make(), 3))
    damage(state)
    before = everything(trainer)
    with pytest.raises(ValueError, match=": expected"):
        trainer.load_state_dict(state)
    assert same(everything(trainer), before)
    expected = train(trainer, 2)
    trainer.load_state_dict(before)
    assert train(trainer, 2) == expected


@pytest.mark.parametrize("damage", ["no policy", "hidden", "what comes last", "python"])
def test_a_training_that_has_not_begun_begins_as_if_nothing_had_been(damage: str) -> None:
    trainer, untouched = (make_trainer(make_envs(num_envs=4)) for _ in range(2))
    state = everything(begun(make_envs(num_envs=4), 1))
    DAMAGES[damage](state)
    with pytest.raises(ValueError, match=": expected"):
        trainer.load_state_dict(state)
    assert train(trainer, 2) == train(untouched, 2)


@pytest.mark.parametrize("steps", [math.inf, math.nan, -1, 512.0, "64", None, True])
def test_steps_that_are_no_count_are_named(steps: Any) -> None:
    trainer = begun(make_envs(num_envs=4), 1)
    state = everything(trainer) | {"steps": steps}
    with pytest.raises(ValueError, match=f"^steps: expected an int of at least 0, got {steps!r}"):
        trainer.load_state_dict(state)
    assert trainer.steps == 64


@pytest.mark.parametrize("state", [None, 3, {}, [], {"config": 1}])
def test_what_is_no_state_is_named(state: Any) -> None:
    with pytest.raises(ValueError, match=r"^state: expected what state_dict\(\)"):
        make_trainer(make_envs(num_envs=4)).load_state_dict(state)


def test_environments_that_took_a_state_are_put_back_where_another_refuses_it() -> None:
    state = everything(begun(Counters(), 3))
    environments(state)["counts"][1] = -1
    trainer = begun(Counters(), 2)
    before = everything(trainer)
    with pytest.raises(ValueError, match=r"^state: expected .*, got RuntimeError: it refuses"):
        trainer.load_state_dict(state)
    assert same(everything(trainer), before)
    assert trainer.collector.can_go_on


class Drawing(gymnasium.Env[Any, Any]):
    """Draws from the global generator of NumPy where it is reset."""

    observation_space = gymnasium.spaces.Box(0, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.held: Any = iter([])
        return np.random.random(1).astype(np.float32), {}  # noqa: NPY002 - the global generator

    def step(self, action: Any) -> Any:
        return np.zeros(1, dtype=np.float32), 0.0, False, False, {}


def test_random_numbers_are_those_of_the_file_after_new_episodes_began() -> None:
    begun_one = begun(SyncVectorEnv([Drawing] * 2), 1)
    state = everything(begun_one)
    assert "not_saved" in own(state)["collector"]["stepper"]
    resumed = make_trainer(SyncVectorEnv([Drawing] * 2))
    resumed.load_state_dict(state)
    assert same(random_state(), own(state)["random"])


def test_environments_in_other_processes_are_not_reset_for_a_state_that_does_not_fit() -> None:
    envs = AsyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2)
    trainer = begun(envs, 1)
    state = everything(trainer)
    DAMAGES["python"](state)
    with pytest.raises(ValueError, match=": expected"):
        trainer.load_state_dict(state)
    assert trainer.collector.can_go_on
    envs.close()


def test_more_steps_than_were_asked_for_go_on_and_fewer_are_named() -> None:
    state = everything(begun(make_envs(num_envs=4), 3))
    longer, shorter = (make_trainer(make_envs(num_envs=4), total_steps=n) for n in (6400, 128))
    longer.load_state_dict(state)
    assert next(longer.train()).learning_rate == pytest.approx(
        longer.config.learning_rate * (1 - 192 / 6400)
    )
    with pytest.raises(ValueError, match=r"^total_steps: expected at least the 192 steps"):
        shorter.load_state_dict(state)


def test_a_state_without_newer_settings_has_their_defaults() -> None:
    trainer = begun(make_envs(num_envs=4), 1)
    state = everything(trainer)
    del state["config"]["target_kl"], state["config"]["learning_rate_schedule"]
    trainer.load_state_dict(state)
    constant = make_trainer(make_envs(num_envs=4), learning_rate_schedule="constant")
    with pytest.raises(ValueError, match=r"^learning_rate_schedule: expected 'linear' as when it"):
        constant.load_state_dict(state)
