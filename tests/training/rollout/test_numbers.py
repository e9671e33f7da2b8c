"""NaN stops a training at once, half precision trains, and normalisation can be left out."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import (
    FeatureNormalizer,
    PPOConfig,
    RecurrentPPO,
    RewardScaler,
    evaluate_policy,
    make_envs,
)
from tests.training.scripted import SCRIPTS, NativeScripted


class Faulty(NativeScripted):
    """Returns something that is not a number at one step of one environment."""

    def __init__(self, where: str, value: float, mode: AutoresetMode) -> None:
        super().__init__(SCRIPTS, mode)
        self.where = where
        self.value = value
        self.count = 0

    def step(self, actions: Any) -> Any:
        observations, rewards, terminated, truncated, info = super().step(actions)
        self.count += 1
        observations = observations.copy()
        if self.count == 5 and self.where == "rewards":
            rewards[1] = self.value
        if self.count == 5 and self.where == "observations":
            observations[1, 0] = self.value
        if self.count == 5 and self.where == "final observations":  # the second script ends there
            info["final_obs"][1, 1] = self.value
        return observations, rewards, terminated, truncated, info


def make_trainer(envs: Any, **config: Any) -> RecurrentPPO:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=8)
    settings: dict[str, Any] = {"num_steps": 8, "sequence_length": 8, "num_minibatches": 1}
    return RecurrentPPO(envs, bundle, PPOConfig(**settings | config))


def snapshot(trainer: RecurrentPPO) -> list[Any]:
    collector = trainer.collector
    return [
        [parameter.tolist() for parameter in trainer.bundle.parameters()],
        str(collector.normalizer.state_dict()),
        str(collector.reward_scaler.state_dict()),
        collector.episodes.mean_return,
        trainer.buffer._step,
        collector._features.tolist(),
        collector.hidden.h.tolist(),
        collector.starts.tolist(),
        collector.stepper.steps,
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["rewards", "observations", "final observations"])
def test_the_environment_and_the_step_are_named_and_nothing_is_half_done(
    where: str, value: float
) -> None:
    envs = Faulty(where, value, AutoresetMode.SAME_STEP)
    trainer = make_trainer(envs)
    trainer.collector.begin()
    for _ in range(4):
        trainer.collector._collect_step()
    before = snapshot(trainer)
    name = 'info\\["final_obs"\\]' if where == "final observations" else where
    message = (
        rf"^{name}: expected finite numbers of float32, got {value} from environment 1 at step 5"
    )
    with pytest.raises(ValueError, match=message):
        trainer.collector._collect_step()
    assert snapshot(trainer) == before


def test_a_training_stops_at_a_reward_that_is_not_a_number() -> None:
    trainer = make_trainer(Faulty("rewards", math.nan, AutoresetMode.NEXT_STEP))
    with pytest.raises(ValueError, match="rewards: expected finite numbers of float32, got nan"):
        next(trainer.train())


def test_an_evaluation_stops_at_an_observation_that_is_not_a_number() -> None:
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=8)
    envs = Faulty("observations", math.nan, AutoresetMode.NEXT_STEP)
    with pytest.raises(
        ValueError, match="observations: expected finite numbers of float32, got nan from env"
    ):
        evaluate_policy(bundle, envs, FeatureNormalizer(2))
    assert bundle.training


@pytest.mark.parametrize("learned", [False, True])
def test_bfloat16_autocast_trains_in_the_types_of_the_bundle(learned: bool) -> None:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=16, learn_initial_hidden=learned)
    config = PPOConfig(total_steps=2048, num_steps=64, epochs=2, autocast=True)
    seen: list[torch.dtype] = []
    head: torch.nn.Module = bundle.network.policy_head  # type: ignore[assignment]  # a head is a module
    head.register_forward_hook(lambda module, inputs, outputs: seen.append(outputs.dtype))
    trainer = RecurrentPPO(make_envs(num_envs=8), bundle, config)
    reports = list(trainer.train())
    assert torch.bfloat16 in seen
    assert all(0 < report.first_ratio_error < 0.02 for report in reports[1:])
    assert all(math.isfinite(report.policy_loss) for report in reports)
    (batch, *_) = trainer.buffer.sequences()
    assert {batch.hidden.h.dtype, batch.log_prob.dtype, batch.value.dtype} == {torch.float32}
    assert {parameter.dtype for parameter in bundle.parameters()} == {torch.float32}
    assert (
        len(set((batch.log_prob * 2**12).round().flatten().tolist())) > 20
    )  # not bfloat16's steps


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_bundles_of_other_types_train(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=8).to(dtype)
    config = PPOConfig(total_steps=512, num_steps=32, epochs=1)
    reports = list(RecurrentPPO(make_envs(num_envs=8), bundle, config).train())
    assert len(reports) == 2
    assert {parameter.dtype for parameter in bundle.parameters()} == {dtype}


def test_features_and_rewards_pass_unchanged_where_normalisation_is_off() -> None:
    config: dict[str, Any] = {"normalize_observations": False, "normalize_rewards": False}
    trainer = make_trainer(NativeScripted(SCRIPTS, AutoresetMode.SAME_STEP), **config)
    next(trainer.train())
    (batch,) = trainer.buffer.sequences()
    assert batch.features[0, :3].tolist() == [[0, 0], [0, 1], [1, 0]]
    assert trainer.buffer._returned.rewards[0, 0] == pytest.approx(math.sin(1))


def test_normalizers_restore_from_their_states() -> None:
    generator = np.random.default_rng(0)
    scaler = RewardScaler(3, 0.9)
    features = FeatureNormalizer(2)
    never = np.zeros(3, dtype=bool)
    always = np.ones(3, dtype=bool)
    for _ in range(5):
        scaler(generator.normal(size=3), never, always)
        features.update(torch.randn(4, 2))
    other = RewardScaler(3, 0.9)
    others = FeatureNormalizer(2, enabled=False)
    other.load_state_dict(scaler.state_dict())
    others.load_state_dict(features.state_dict())
    rewards = generator.normal(size=3)
    seen = torch.randn(4, 2)
    np.testing.assert_array_equal(scaler(rewards, never, always), other(rewards, never, always))
    assert features(seen).equal(others(seen))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", torch.zeros(3)),
        ("var", torch.full((2,), torch.nan)),
        ("count", torch.zeros(1)),
        ("mean", None),
        ("var", "wide"),
        ("enabled", None),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(name: str, value: Any) -> None:
    normalizer = FeatureNormalizer(2)
    other = FeatureNormalizer(2)
    other.update(torch.randn(5, 2))
    state = other.state_dict()
    if value is None:
        del state[name]
    else:
        state[name] = value
    before = str(normalizer.state_dict())
    with pytest.raises(ValueError, match=rf'state\["{name}"\]: expected'):
        normalizer.load_state_dict(state)
    assert str(normalizer.state_dict()) == before


@pytest.mark.parametrize("value", [-1e155, 1e39, np.inf, np.nan])
def test_numbers_that_would_overflow_the_statistics_are_refused_and_not_counted(
    value: float,
) -> None:
    scaler = RewardScaler(3, 0.9)
    normalizer = FeatureNormalizer(2)
    never = np.zeros(3, dtype=bool)
    ones = torch.ones(3, 2, dtype=torch.float64)
    before = str(scaler.state_dict()), str(normalizer.state_dict())
    message = rf"expected finite numbers of float32, got {re.escape(str(value))} at index"
    with pytest.raises(ValueError, match=rf"^rewards: {message} \[2\]"):
        scaler(np.array([1, 2, value]), never, ~never)
    with pytest.raises(ValueError, match=rf"^features: {message} \[0, 0\]"):
        normalizer.update(ones * value)
    assert (str(scaler.state_dict()), str(normalizer.state_dict())) == before


def test_the_largest_numbers_of_float32_keep_the_statistics_finite() -> None:
    envs = Faulty("rewards", -3e38, AutoresetMode.NEXT_STEP)
    trainer = make_trainer(envs, gamma=1.0, total_steps=72)
    assert len(list(trainer.train())) == 3
    trainer.collector.reward_scaler.load_state_dict(trainer.collector.reward_scaler.state_dict())


@pytest.mark.parametrize("value", [1e155, -1e300])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_training_names_a_huge_reward_as_it_came(value: float, normalize: bool) -> None:
    trainer = make_trainer(
        Faulty("rewards", value, AutoresetMode.NEXT_STEP), normalize_rewards=normalize
    )
    message = rf"^rewards: expected finite numbers of float32, got {re.escape(str(value))} from "
    with pytest.raises(ValueError, match=f"{message}environment 1 at step 5"):
        next(trainer.train())
