"""The evaluation of a run as a function."""

from pathlib import Path

import pytest
import torch

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import FeatureNormalizer, evaluate_run, save_policy
from tamiyo_rl.training.envs.make import DEFAULT_TASK


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    bundle = LSTMPolicyBundle(feature_dim=2, action_dims=2, hidden_dim=4)
    save_policy(tmp_path / "policy.pt", bundle, FeatureNormalizer(2))
    return tmp_path / "policy.pt"


@pytest.mark.parametrize("deterministic", [True, False])
def test_it_is_repeatable_and_leaves_the_generator_as_it_is(
    deterministic: bool, policy: Path
) -> None:
    before = torch.get_rng_state()
    played = [
        evaluate_run(policy, env=DEFAULT_TASK, episodes=5, deterministic=deterministic)
        for _ in range(2)
    ]
    assert torch.get_rng_state().equal(before)
    assert played[0].returns.tolist() == played[1].returns.tolist()
    assert played[0].lengths.tolist() == played[0].returns.tolist()
    assert played[0].deterministic == deterministic


def test_a_policy_that_does_not_fit_is_named(policy: Path) -> None:
    with pytest.raises(ValueError, match="bundle: expected feature_dim=4 for these environments"):
        evaluate_run(policy, env="CartPole-v1", episodes=1)


def test_a_config_of_something_else_beside_the_policy_is_passed_over(policy: Path) -> None:
    (policy.parent / "config.json").write_text('{"colour": "blue"}')
    assert len(evaluate_run(policy, env=DEFAULT_TASK, episodes=2).returns) == 2
    with pytest.raises(ValueError, match=r"env: expected the environment that .* plays, got none"):
        evaluate_run(policy)


def test_bad_numbers_are_named_before_anything_is_read(tmp_path: Path) -> None:
    for name in ("episodes", "num_envs", "max_steps"):
        with pytest.raises(ValueError, match=f"{name}: expected an int of at least 1, got 0"):
            evaluate_run(tmp_path / "absent", **{name: 0})  # type: ignore[arg-type]  # one of three
    with pytest.raises(ValueError, match="seed: expected an int from 0"):
        evaluate_run(tmp_path / "absent", seed=-1)
