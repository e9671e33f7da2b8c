"""A rollout does not continue after an interruption, or after somebody moved the environments."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import (
    EnvironmentStepper,
    PPOConfig,
    RecurrentPPO,
    evaluate_policy,
    load_checkpoint,
    make_envs,
    save_checkpoint,
)
from tests.training.rollout.test_numbers import Faulty
from tests.training.runs.test_checkpoint import exactly
from tests.training.scripted import SCRIPTS, NativeScripted, make_vector, reward

STEPS = 8
MOVED = (
    "^envs: expected the environments as the last step left them, got environments that somebody"
)


def make_trainer(envs: Any) -> RecurrentPPO:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space, envs.single_action_space, hidden_dim=4
    )
    config = PPOConfig(
        total_steps=10 * STEPS * envs.num_envs,
        num_steps=STEPS,
        sequence_length=STEPS,
        num_minibatches=1,
        epochs=1,
        normalize_observations=False,
    )
    return RecurrentPPO(envs, bundle, config)


def step_once(trainer: RecurrentPPO) -> None:
    trainer.envs.step(np.zeros(3, dtype=np.int64))


def reset(trainer: RecurrentPPO) -> None:
    trainer.envs.reset(seed=3)


def reset_inside(trainer: RecurrentPPO) -> None:
    trainer.envs.unwrapped.reset()


def evaluate(trainer: RecurrentPPO) -> None:
    evaluate_policy(trainer.bundle, trainer.envs, trainer.normalizer)


def require_right_starts(trainer: RecurrentPPO) -> None:
    """Require that the episodes of the last rollout start where the environments start them."""
    (batch,) = trainer.buffer.sequences()
    starts = batch.plan.episode_starts
    time = batch.features[..., 1]
    assert starts[:, 0].all()
    assert starts[batch.valid].tolist() == (time[batch.valid] == 0).tolist()


def compute_whole_returns() -> set[float]:
    """Sum the rewards of each whole episode of the scripts."""
    return {
        round(sum(reward(episode, time + 1) for time in range(end.length)), 6)
        for script in SCRIPTS
        for episode, end in enumerate(script * 20)
    }


@pytest.mark.parametrize("kind", ["sync", "native"])
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("move", [step_once, reset, reset_inside, evaluate])
def test_environments_that_somebody_else_moved_are_refused(
    move: Callable[[RecurrentPPO], None], mode: AutoresetMode, kind: str
) -> None:
    trainer = make_trainer(make_vector(kind, mode))
    training = trainer.train()
    next(training)
    move(trainer)
    with pytest.raises(ValueError, match=f"{MOVED}.*\n  do: begin new episodes"):
        next(training)
    next(trainer.train())
    require_right_starts(trainer)
    returns = trainer.collector.episodes._last_returns
    assert {round(value, 6) for value in returns} <= compute_whole_returns()


def test_environments_moved_through_another_wrapper_are_refused() -> None:
    trainer = make_trainer(make_envs(num_envs=3))
    training = trainer.train()
    next(training)
    trainer.envs.unwrapped.step(np.zeros(3, dtype=np.int64))
    with pytest.raises(ValueError, match=MOVED):
        next(training)


def test_a_copy_of_the_environments_may_be_moved() -> None:
    reports = []
    for moves in (False, True):
        trainer = make_trainer(make_envs(num_envs=3))
        training = trainer.train()
        next(training)
        if moves:
            copy.deepcopy(trainer.envs).step(np.zeros(3, dtype=np.int64))
        reports.append(next(training))
    assert exactly(reports[:1]) == exactly(reports[1:])


def test_a_stepper_leaves_documentation_and_results_of_the_environments_unchanged() -> None:
    envs = make_envs(num_envs=3)
    plain = make_envs(num_envs=3)
    EnvironmentStepper(envs)
    assert envs.unwrapped.step.__doc__ == plain.unwrapped.step.__doc__
    assert np.array_equal(envs.reset(seed=0)[0], plain.reset(seed=0)[0])
    moved, expected = (e.step(np.ones(3, dtype=np.int64)) for e in (envs, plain))
    assert np.array_equal(moved[0], expected[0])


def test_a_stepper_is_refused_before_its_first_reset() -> None:
    envs = make_envs(num_envs=3)
    envs.reset()
    with pytest.raises(ValueError, match=MOVED):
        EnvironmentStepper(envs).step({"action": torch.zeros(3, dtype=torch.long)})


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("where", ["rewards", "observations"])
def test_training_again_after_a_refused_step_begins_new_episodes(
    where: str, mode: AutoresetMode
) -> None:
    trainer = make_trainer(Faulty(where, np.nan, mode))  # at a step that ends an episode
    with pytest.raises(ValueError, match=f"^{where}: expected finite numbers"):
        next(trainer.train())
    next(trainer.train())
    require_right_starts(trainer)
    returns = trainer.collector.episodes._last_returns
    assert {round(value, 6) for value in returns} <= compute_whole_returns()


class Interrupted(NativeScripted):
    """Is interrupted after its third step, once."""

    steps = 0

    def step(self, actions: Any) -> Any:
        self.steps += 1
        taken = super().step(actions)
        if self.steps == 3:
            raise KeyboardInterrupt
        return taken


def test_training_again_after_an_interrupt_begins_new_episodes() -> None:
    trainer = make_trainer(Interrupted(SCRIPTS, AutoresetMode.NEXT_STEP))
    with pytest.raises(KeyboardInterrupt):
        next(trainer.train())
    next(trainer.train())
    require_right_starts(trainer)


def test_a_training_that_is_left_and_taken_up_continues_where_it_was() -> None:
    whole, parts = (make_trainer(make_envs(num_envs=3)) for _ in range(2))
    reports = list(whole.train())
    assert exactly([next(parts.train()) for _ in reports]) == exactly(reports)


@pytest.mark.parametrize("move", [reset, evaluate])
def test_a_checkpoint_after_somebody_else_moved_the_environments_begins_new_episodes(
    move: Callable[[RecurrentPPO], None], tmp_path: Path
) -> None:
    begun = make_trainer(make_envs(num_envs=3))
    next(begun.train())
    move(begun)
    resumed = make_trainer(make_envs(num_envs=3))
    load_checkpoint(save_checkpoint(tmp_path, begun), resumed)
    assert resumed.collector.starts.all()
    assert next(resumed.train()).steps == 2 * 3 * STEPS
