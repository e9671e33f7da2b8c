"""Declared and assumed autoreset modes against the behaviour of the environments."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers.vector import NormalizeReward, TransformReward

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import (
    EnvironmentStepper,
    FeatureNormalizer,
    PPOConfig,
    RecurrentPPO,
    evaluate_policy,
    make_envs,
)
from tests.training.scripted import KINDS, SCRIPTS, End, NativeScripted, make_vector

LONG, SHORT = ([[End(length, truncated=False)]] * 3 for length in (5, 1))
LEFT = {"action": torch.zeros(3, dtype=torch.long)}
UNDECLARED = (
    r'envs: expected metadata\["autoreset_mode"\] of .*, got none; AutoresetMode.NEXT_STEP is'
)
REWARDED = "rewards: expected 0 at a step that only resets, .*; it is not trained on"
DOUBT = "envs: expected a step that only resets after each end, .*, got"


class Silent(NativeScripted):
    """Says nothing of its mode, and returns no more than it has to."""

    def __init__(self, mode: AutoresetMode, scripts: Any = SCRIPTS, *, final: bool = False) -> None:
        super().__init__(scripts, mode)
        self.metadata = {}
        self.final = final

    def step(self, actions: Any) -> Any:
        *taken, info = super().step(actions)
        return *taken, info if self.final else {}


class Paying(NativeScripted):
    """Gives a reward at each step, also where it only resets."""

    def step(self, actions: Any) -> Any:
        observations, rewards, *others = super().step(actions)
        return observations, rewards - 0.1, *others


def play(envs: VectorEnv[Any, Any, Any], steps: int = 20) -> None:
    stepper = EnvironmentStepper(envs)
    stepper.reset(seed=0)
    for _ in range(steps):
        stepper.step(LEFT)


@pytest.mark.parametrize(
    ("scripts", "final", "got"),
    [
        (LONG, False, "a reward of -0.75.* from environment 0"),
        (SHORT, False, "the end of an episode from environment 0"),
        (LONG, True, r'info\["final_obs"\] from environment 0'),
    ],
)
def test_an_undeclared_reset_in_the_same_step_is_refused(
    scripts: Any, final: bool, got: str
) -> None:
    envs = Silent(AutoresetMode.SAME_STEP, scripts, final=final)
    with (
        pytest.warns(UserWarning, match=UNDECLARED),
        pytest.raises(ValueError, match=rf'{DOUBT} {got}(?s:.*)do: declare.*"autoreset_mode"'),
    ):
        play(envs)


@pytest.mark.filterwarnings("ignore:envs. expected metadata")
def test_training_and_evaluation_refuse_an_undeclared_reset_in_the_same_step() -> None:
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=4)
    trainer = RecurrentPPO(
        Silent(AutoresetMode.SAME_STEP, LONG), bundle, PPOConfig(num_minibatches=3)
    )
    with pytest.raises(ValueError, match=DOUBT):
        next(trainer.train())
    scripts = [SHORT[0], LONG[0], LONG[0]]
    with pytest.raises(ValueError, match=DOUBT):
        evaluate_policy(bundle, Silent(AutoresetMode.SAME_STEP, scripts), FeatureNormalizer(2))


def test_a_reset_in_the_same_step_that_is_declared_otherwise_is_refused_or_doubted() -> None:
    envs = Silent(AutoresetMode.SAME_STEP, SHORT)
    envs.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
    with pytest.raises(ValueError, match=f"{DOUBT} the end of an episode"):
        play(envs)
    envs = Silent(AutoresetMode.SAME_STEP, LONG)
    envs.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
    with pytest.warns(UserWarning, match=REWARDED):
        play(envs)


def test_an_undeclared_mode_warns_once_and_trains() -> None:
    with pytest.warns(UserWarning, match=UNDECLARED) as caught:
        stepper = EnvironmentStepper(Silent(AutoresetMode.NEXT_STEP))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    stepper.reset(seed=0)
    assert [stepper.step(LEFT).starts.tolist()[0] for _ in range(4)] == [False, False, True, False]


def test_environments_that_never_reset_are_refused_where_that_is_undeclared() -> None:
    class Ended(Silent):
        def step(self, actions: Any) -> Any:
            ends = np.ones(3, dtype=bool)
            return self.state, np.zeros(3), ends, ~ends, {}

    with (
        pytest.warns(UserWarning, match=UNDECLARED),
        pytest.raises(ValueError, match="or not at all"),
    ):
        play(Ended(AutoresetMode.DISABLED))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_no_declared_mode_is_accused(kind: str, mode: AutoresetMode) -> None:
    envs = make_vector(kind, mode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        play(envs)
        play(NormalizeReward(envs))
        play(TransformReward(envs, lambda rewards: rewards - 0.1))
    envs.close()


def test_a_declared_mode_that_pays_for_a_reset_is_doubted_and_trained_on() -> None:
    with pytest.warns(UserWarning, match=REWARDED):
        play(Paying(SCRIPTS, AutoresetMode.NEXT_STEP))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        play(Paying(SCRIPTS, AutoresetMode.NEXT_STEP))
    assert len(caught) == 1


@pytest.mark.parametrize("vectorization", ["native", "sync", "async"])
def test_our_environments_declare_their_mode(vectorization: Any) -> None:
    envs = make_envs(num_envs=3, vectorization=vectorization, max_episode_steps=3)
    assert isinstance(envs.metadata["autoreset_mode"], AutoresetMode)
    play(envs)
    envs.close()
