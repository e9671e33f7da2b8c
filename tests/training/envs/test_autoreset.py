"""Training data in every autoreset mode, against one scalar environment and plain floats."""

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from tamiyo_rl import HiddenState, LSTMPolicyBundle
from tamiyo_rl.training import EnvironmentStepper, PPOConfig, RecurrentPPO, RolloutBatch
from tests.training.scripted import KINDS, SCRIPTS, Scripted, make_vector

STEPS = 8
ROLLOUTS = 3
GAMMA = 0.9
DECAY = 0.8


class RealStep(NamedTuple):
    """One step of a single environment."""

    observation: list[float]
    start: bool
    reward: float
    value: float
    following: float
    terminated: bool
    ended: bool


def make_bundle() -> LSTMPolicyBundle:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=4, learn_initial_hidden=True)
    for parameter in bundle.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return bundle


def play_alone(script: Any, bundle: LSTMPolicyBundle) -> Iterator[RealStep]:
    """Step one environment, resetting by hand, and estimate the values along its way."""

    def see(observation: Any, hidden: HiddenState) -> tuple[float, HiddenState]:
        result = bundle.get_action(torch.tensor(observation)[None], hidden=hidden)
        return result.value.item(), result.hidden

    env = Scripted(script)
    while True:
        observation = env.reset()[0]
        ended = False
        start = True
        value, hidden = see(observation, bundle.initial_hidden(1))
        while not ended:
            before = observation.tolist()
            observation, reward, terminated, truncated, _ = env.step(0)
            following, after = see(observation, hidden)
            ended = terminated or truncated
            yield RealStep(before, start, reward, value, following, terminated, ended)
            value = following
            hidden = after
            start = False


def compute_advantages(steps: list[RealStep]) -> list[float]:
    """Compute the generalized advantages of the real steps of one rollout, in floats."""
    found: list[float] = []
    later = 0.0
    for step in reversed(steps):
        following = 0.0 if step.terminated else step.following
        delta = step.reward + GAMMA * following - step.value
        later = delta + (0.0 if step.ended else GAMMA * DECAY * later)
        found.insert(0, later)
    return found


def cut_into_rollouts(script: Any, bundle: LSTMPolicyBundle, mode: AutoresetMode) -> Any:
    """Cut the steps into rollouts, as lists of steps; None where a step only resets."""
    columns: list[RealStep | None] = []
    for step in play_alone(script, bundle):
        columns.append(step)
        if step.ended and mode == AutoresetMode.NEXT_STEP:
            columns.append(None)
        if len(columns) > STEPS * ROLLOUTS:
            return [columns[k * STEPS : (k + 1) * STEPS] for k in range(ROLLOUTS)]
    raise AssertionError


def make_trainer(kind: str, mode: AutoresetMode, bundle: LSTMPolicyBundle) -> RecurrentPPO:
    config = PPOConfig(
        num_steps=STEPS,
        sequence_length=STEPS,
        num_minibatches=1,
        gamma=GAMMA,
        gae_lambda=DECAY,
        normalize_observations=False,
        normalize_rewards=False,
    )
    return RecurrentPPO(make_vector(kind, mode), bundle, config)


def collect_rollouts(
    kind: str, mode: AutoresetMode, bundle: LSTMPolicyBundle
) -> list[RolloutBatch]:
    """Collect rollouts, one row for each environment."""
    trainer = make_trainer(kind, mode, bundle)
    batches: list[RolloutBatch] = []
    trainer.collector.begin()
    for _ in range(ROLLOUTS):
        trainer.collector.collect()
        batches += trainer.buffer.sequences()
    trainer.envs.close()
    return batches


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_training_sees_what_a_scalar_environment_shows(mode: AutoresetMode, kind: str) -> None:
    bundle = make_bundle()
    batches = collect_rollouts(kind, mode, bundle)
    for row, script in enumerate(SCRIPTS):
        expected = cut_into_rollouts(script, bundle, mode)
        for batch, columns in zip(batches, expected, strict=True):
            compare(batch, row, columns)


def compare(batch: RolloutBatch, row: int, columns: list[RealStep | None]) -> None:
    valid = [column is not None for column in columns]
    steps = [column for column in columns if column is not None]
    starts = batch.plan.episode_starts
    assert batch.valid[row].tolist() == valid
    assert batch.features[row, valid].tolist() == [step.observation for step in steps]
    assert starts[row, valid].tolist() == [step.start for step in steps]
    values = [step.value for step in steps]
    np.testing.assert_allclose(batch.value[row, valid], values, atol=1e-5)
    expected = np.array(compute_advantages(steps))
    np.testing.assert_allclose(batch.advantages[row, valid], expected, atol=1e-5)
    np.testing.assert_allclose(batch.returns[row, valid], expected + values, atol=1e-5)


def test_the_scripts_end_episodes_at_the_last_step_of_a_rollout() -> None:
    for mode in AutoresetMode:
        rollouts = [cut_into_rollouts(script, make_bundle(), mode) for script in SCRIPTS]
        last = [columns[-1] for columns in chain.from_iterable(rollouts)]
        assert any(step is not None and step.ended and step.terminated for step in last)
        assert any(step is not None and step.ended and not step.terminated for step in last)


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_episodes_have_their_own_returns_and_lengths(mode: AutoresetMode) -> None:
    bundle = make_bundle()
    returns = []
    lengths = []
    trainer = make_trainer("sync", mode, bundle)
    trainer.collector.begin()
    for _ in range(ROLLOUTS):
        trainer.collector.collect()
    for script in SCRIPTS:
        rewards: list[float] = []
        for step in filter(None, chain.from_iterable(cut_into_rollouts(script, bundle, mode))):
            rewards.append(step.reward)
            if step.ended:
                returns.append(sum(rewards))
                lengths.append(len(rewards))
                rewards.clear()
    assert trainer.collector.episodes.mean_return == pytest.approx(np.mean(returns))
    assert trainer.collector.episodes.mean_length == pytest.approx(np.mean(lengths))


def test_an_unknown_mode_is_named() -> None:
    envs = make_vector("native", AutoresetMode.NEXT_STEP)
    envs.metadata = {"autoreset_mode": "Sometimes"}
    with pytest.raises(ValueError, match=r"envs: expected metadata\[.*AutoresetMode.SAME_STEP"):
        EnvironmentStepper(envs)
