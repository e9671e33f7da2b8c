"""The trainer: its rollouts, its learning and its errors."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from tamiyo_rl import ContractError, EvalResult, LSTMPolicyBundle
from tamiyo_rl.training import (
    FeatureNormalizer,
    PPOConfig,
    RecurrentPPO,
    RewardScaler,
    evaluate_policy,
    make_envs,
)
from tamiyo_rl.training.ppo.loss import PPOLoss, ppo_loss
from tests.training.scripted import SCRIPTS, make_vector, reward


def make_trainer(**config: Any) -> RecurrentPPO:
    torch.manual_seed(0)
    envs = make_envs(num_envs=4)
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=16, learn_initial_hidden=True)
    settings = {"num_steps": 16, "sequence_length": 8, "num_minibatches": 2, "epochs": 2}
    return RecurrentPPO(envs, bundle, PPOConfig(**{"total_steps": 640} | settings | config))


@pytest.mark.clause("C7")
def test_first_ratio_is_one_in_every_update() -> None:
    reports = list(make_trainer().train())
    assert len(reports) == 10
    assert all(report.first_ratio_error < 1e-5 for report in reports)
    assert all(math.isfinite(x) for report in reports[1:] for x in report.scalars().values())


@pytest.mark.clause("C7")
def test_the_statistics_begin_with_steps_that_are_not_trained_on() -> None:
    trainer = make_trainer(normalization_steps=20)
    reports = list(trainer.train())
    seen = trainer.normalizer.state_dict()["count"]
    # The first observation twice, 20 steps, and 10 updates of 16 steps, in each of 4 environments.
    assert seen == pytest.approx(4 * (2 + 20 + 160), abs=1e-3)
    assert reports[0].steps == 64
    assert len(reports) == 10
    assert all(report.first_ratio_error < 1e-5 for report in reports)


def test_no_such_steps_where_nothing_is_normalised() -> None:
    trainer = make_trainer(normalization_steps=20, normalize_observations=False)
    next(trainer.train())
    assert trainer.collector.stepper.steps == 16
    assert trainer.normalizer.state_dict()["count"] < 1


@pytest.mark.clause("C12")
def test_the_same_seed_gives_the_same_training() -> None:
    first, second = (list(make_trainer().train())[-1] for _ in range(2))
    assert first == second


def test_training_learns_to_balance() -> None:
    config: dict[str, Any] = {"num_steps": 32, "sequence_length": 32, "epochs": 5}
    reports = list(make_trainer(total_steps=8_000, num_minibatches=4, **config).train())
    assert reports[-1].episode_return > 31  # a random policy gets 21


@pytest.mark.parametrize(
    "bad",
    [
        {"total_steps": 0},
        {"num_steps": 0},
        {"epochs": -1},
        {"gamma": 1.1},
        {"gae_lambda": -0.1},
        {"learning_rate": math.nan},
        {"learning_rate": 0.0},
        {"clip_range": math.inf},
        {"value_coef": -1.0},
        {"entropy_coef": math.nan},
        {"max_grad_norm": 0.0},
        {"target_kl": 0.0},
    ],
    ids=str,
)
def test_bad_settings_are_named(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(bad))}: expected a(n int| number)"):
        PPOConfig(**bad)


def test_a_bundle_that_does_not_fit_is_named() -> None:
    envs = make_envs(num_envs=4)
    with pytest.raises(ValueError, match="bundle: expected feature_dim=2"):
        RecurrentPPO(envs, LSTMPolicyBundle(4, 2), PPOConfig())
    with pytest.raises(ValueError, match="bundle: expected action_dims"):
        RecurrentPPO(envs, LSTMPolicyBundle(2, 3), PPOConfig())
    with pytest.raises(ValueError, match="num_minibatches: expected a divisor of the 4 rows"):
        RecurrentPPO(envs, LSTMPolicyBundle(2, 2), PPOConfig(num_minibatches=3))


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_evaluation_counts_one_whole_episode_of_each_environment(mode: AutoresetMode) -> None:
    envs = make_vector("sync", mode)
    returns = evaluate_policy(LSTMPolicyBundle(2, 2, hidden_dim=4), envs, FeatureNormalizer(2))
    lengths = [script[0].length for script in SCRIPTS]
    expected = [sum(reward(0, time + 1) for time in range(length)) for length in lengths]
    np.testing.assert_allclose(returns, expected)


def test_normalizer_has_the_statistics_of_all_it_saw() -> None:
    normalizer = FeatureNormalizer(3)
    features = 5 + 2 * torch.randn(400, 3)
    for part in features.split(100):
        normalizer.update(part)
    normalized = normalizer(features)
    torch.testing.assert_close(normalized.mean(0), torch.zeros(3), atol=0.01, rtol=0)
    torch.testing.assert_close(normalized.std(0), torch.ones(3), atol=0.01, rtol=0)
    other = FeatureNormalizer(3)
    other.load_state_dict(normalizer.state_dict())
    assert other(features).equal(normalized)


def test_rewards_are_scaled_by_the_deviation_of_the_return() -> None:
    scaler = RewardScaler(50, gamma=0.5)
    generator = np.random.default_rng(0)
    always = np.ones(50, dtype=bool)
    never = np.zeros(50, dtype=bool)
    for _ in range(400):
        scaled = scaler(generator.normal(0, 3, 50), never, always)
    # The return of independent rewards has variance 9 / (1 - 0.25).
    assert abs(scaled.std() - np.sqrt(0.75)) < 0.2
    assert scaler.state_dict().keys() == {"returns", "mean", "var", "count"}


def test_evaluation_leaves_the_policy_as_it_was() -> None:
    encoder = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Dropout(0.5))
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=4, encoder=encoder)
    before = {name: tensor.clone() for name, tensor in bundle.state_dict().items()}
    envs = make_envs(num_envs=3)
    first, second = (evaluate_policy(bundle, envs, FeatureNormalizer(2)) for _ in range(2))
    assert first.tolist() == second.tolist()
    assert bundle.training
    assert all(tensor.equal(before[name]) for name, tensor in bundle.state_dict().items())


@pytest.mark.clause("C8")
def test_a_loss_that_trains_too_little_stops_the_first_update(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*args: Any, **settings: Any) -> PPOLoss:
        loss = ppo_loss(*args, **settings)
        return loss._replace(policy=loss.policy.detach())

    monkeypatch.setattr("tamiyo_rl.training.ppo.updater.ppo_loss", broken)
    envs = make_envs(num_envs=2)
    bundle = LSTMPolicyBundle(feature_dim=2, action_dims=2, hidden_dim=4)
    config = PPOConfig(total_steps=64, num_steps=32, num_minibatches=1, epochs=1)
    before = [parameter.clone() for parameter in bundle.parameters()]
    with pytest.raises(ContractError, match="terms without a gradient: policy"):
        next(RecurrentPPO(envs, bundle, config).train())
    assert all(map(torch.equal, before, bundle.parameters()))


class IgnoresResets(LSTMPolicyBundle):
    """Trains each row as if no episode ended inside it."""

    def evaluate_actions(self, *args: Any, episode_starts: Any = None, **kwargs: Any) -> EvalResult:
        starts = episode_starts.episode_starts.clone()
        starts[:, 1:] = False
        return super().evaluate_actions(*args, episode_starts=starts, **kwargs)


@pytest.mark.clause("C7")
def test_ignored_resets_stop_the_first_update_of_a_policy_at_its_initialisation() -> None:
    torch.manual_seed(0)
    envs = make_envs(num_envs=4)
    trainer = RecurrentPPO(envs, IgnoresResets(2, 2), PPOConfig(total_steps=1024))
    before = [parameter.clone() for parameter in trainer.bundle.parameters()]
    with pytest.raises(ContractError, match=r"value: expected what the rollout stored.*\n.*starts"):
        next(trainer.train())
    assert all(map(torch.equal, before, trainer.bundle.parameters()))


@pytest.mark.clause("C7")
def test_the_tolerance_of_the_settings_is_the_one_that_is_used() -> None:
    torch.manual_seed(0)
    envs = make_envs(num_envs=4)
    config = PPOConfig(total_steps=512, consistency_tolerance=1.0)
    next(RecurrentPPO(envs, IgnoresResets(2, 2), config).train())
    with pytest.raises(ValueError, match="consistency_tolerance: expected a number positive"):
        PPOConfig(consistency_tolerance=0)


@pytest.mark.parametrize(
    ("given", "closest"),
    [("n_steps", "num_steps"), ("gae_lamda", "gae_lambda"), ("x", "total_steps")],
)
def test_a_setting_that_does_not_exist_is_named_beside_the_closest(
    given: str, closest: str
) -> None:
    with pytest.raises(TypeError, match=f"^{given}: expected a setting .* such as {closest},"):
        PPOConfig(**dict[str, Any]({given: 1}))
