"""The suite of collection measures processor time, of the parts that it names."""

import functools
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from benchmarks.speed import collection
from benchmarks.speed.bare import BareRollout, Core, lstm, lstm_cell
from benchmarks.speed.guard import unguarded
from gymnasium.vector import VectorWrapper
from rich.console import Console

from tamiyo_rl import EvalResult
from tamiyo_rl.training import PPOConfig, make_envs

QUIET = Console(quiet=True)


def test_a_step_is_timed_beside_the_bare_calls() -> None:
    case = collection.time_step(num_envs=2, rounds=1, console=QUIET)
    seconds = case["seconds"]
    assert list(seconds) == ["bare nn.LSTMCell", "tamiyo-rl", "only the environment"]
    assert case["ratio"] == seconds["tamiyo-rl"] / seconds["bare nn.LSTMCell"]


def test_the_time_of_the_guard_leaves_out_the_call_it_guards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @functools.wraps(unguarded)
    def slow(*args: Any, **kwargs: Any) -> EvalResult:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        return unguarded(*args, **kwargs)

    monkeypatch.setattr(collection, "unguarded", slow)
    minibatch = collection.make_default_minibatch()
    guard = collection.time_guard(minibatch, rounds=2, console=QUIET)
    assert 0 < guard["guard seconds"] < 0.05 < guard["seconds"]
    assert guard["share"] == guard["guard seconds"] / guard["seconds"]


class Counted(VectorWrapper[Any, Any, Any]):
    """Counts the steps of all environments."""

    steps = 0

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        Counted.steps += 1
        return super().step(actions)


def test_every_method_collects_the_same_number_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        collection, "make_envs", lambda num_envs: Counted(make_envs(num_envs=num_envs))
    )
    for method in collection.make_rollouts(num_envs=3).values():
        Counted.steps = 0
        method()
        assert Counted.steps == collection.CONFIG.num_steps


def test_a_step_is_timed_in_processor_time(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = {"bare nn.LSTMCell": lambda: None, "tamiyo-rl": partial(time.sleep, 0.2)}
    monkeypatch.setattr(collection, "make_rollouts", lambda _: methods)
    case = collection.time_step(num_envs=1, rounds=1, console=QUIET)
    assert case["seconds"]["tamiyo-rl"] * collection.CONFIG.num_steps < 0.1


def test_a_training_is_timed_whole() -> None:
    config = PPOConfig(total_steps=600, epochs=1)
    training = collection.time_training(config, seeds=1, console=QUIET)
    assert training["steps"] == 512
    assert training["steps per second"] == training["steps"] / training["seconds"]


@pytest.mark.parametrize("core", [lstm, lstm_cell])
def test_a_bare_rollout_carries_its_state(core: Callable[..., Core]) -> None:
    rollout = BareRollout(make_envs(num_envs=2), core(2, 8), 8, steps=1)
    rollout()
    with torch.inference_mode():
        _, expected = rollout.core(rollout.features, rollout.state)
    rollout()
    assert rollout.state is not None
    torch.testing.assert_close(rollout.state, expected)
