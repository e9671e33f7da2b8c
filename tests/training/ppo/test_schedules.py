"""The rates of an update, its early end, and the clipping of the value loss."""

from typing import Any

import pytest
import torch

from tamiyo_rl.training import PPOConfig
from tamiyo_rl.training.ppo.loss import ppo_loss
from tests.training.ppo.test_trainer import make_trainer


@pytest.mark.parametrize("rate", ["learning_rate", "clip_range"])
def test_each_rate_has_a_schedule_of_its_own(rate: str) -> None:
    other = {"learning_rate": "clip_range", "clip_range": "learning_rate"}[rate]
    config = PPOConfig(**{f"{rate}_schedule": "constant"})  # type: ignore[arg-type]  # one of two
    first, last = (
        dict(zip(("learning_rate", "clip_range"), config.rates(remaining), strict=True))
        for remaining in (1.0, 0.25)
    )
    assert first[rate] == last[rate] == getattr(config, rate)
    assert last[other] == 0.25 * first[other]


@pytest.mark.parametrize("name", ["learning_rate_schedule", "clip_range_schedule"])
@pytest.mark.parametrize("value", ["cosine", "", None, ["linear"], torch.ones(2)])
def test_a_schedule_that_is_not_known_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected one of \['linear', 'constant'\], go"):
        PPOConfig(**{name: value})


def steps_of_the_optimizer(**config: Any) -> list[int]:
    trainer = make_trainer(**config)
    optimizer, counts = trainer.updater.optimizer, []
    for _ in trainer.train():
        state = next(iter(optimizer.state.values()))
        counts.append(int(state["step"]))
    return counts


def test_an_update_ends_before_the_minibatch_that_is_too_far() -> None:
    assert steps_of_the_optimizer() == [*range(4, 41, 4)]
    assert steps_of_the_optimizer(target_kl=1e9) == [*range(4, 41, 4)]
    assert steps_of_the_optimizer(target_kl=1e-30) == [*range(1, 11)]


def test_a_limit_that_is_never_reached_changes_nothing() -> None:
    one, other = (list(make_trainer(**config).train()) for config in ({}, {"target_kl": 1e9}))
    assert one == other


def test_the_clipped_value_loss_is_the_larger_of_two_errors() -> None:
    trainer = make_trainer()
    next(trainer.train())
    batch = next(trainer.buffer.minibatches(1))
    evaluation = trainer.bundle.evaluate_actions(
        batch.features, batch.actions, batch.masks, batch.hidden, episode_starts=batch.plan
    )
    evaluation = evaluation._replace(value=evaluation.value + torch.randn_like(batch.value))
    moved = (evaluation.value - batch.value).clamp(-0.2, 0.2)
    errors = [value - batch.returns for value in (evaluation.value, batch.value + moved)]
    expected = torch.stack(errors).square().max(dim=0).values[batch.valid].mean()
    clipped = ppo_loss(evaluation, batch, 0.2, clip_value_loss=True)
    torch.testing.assert_close(clipped.value, expected)
    assert clipped.value > ppo_loss(evaluation, batch, 0.2).value
    assert clipped.policy.equal(ppo_loss(evaluation, batch, 0.2).policy)


def test_the_setting_reaches_the_loss() -> None:
    one, other = (
        list(make_trainer(clip_value_loss=flag, learning_rate=0.05).train())[-1]
        for flag in (False, True)
    )
    assert one.value_loss != other.value_loss
