"""The evaluation plays whole episodes, with any number of environments."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import FeatureNormalizer, evaluate_policy, make_envs


class Counting(gymnasium.Env[Any, Any]):
    """Gives the number of its episode as a reward at every step, and plays as many steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, *, endless: bool = False) -> None:
        self.episode = 0
        self.endless = endless

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.episode += 1
        self.step_number = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.step_number += 1
        ends = self.step_number == self.episode and not self.endless
        return np.zeros(2, np.float32), float(self.episode), ends, False, {}


def play(envs: Any, **settings: Any) -> Any:
    bundle = LSTMPolicyBundle(feature_dim=2, action_dims=2, hidden_dim=4)
    return evaluate_policy(bundle, envs, FeatureNormalizer(2), **settings).tolist()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_each_environment_plays_its_share_of_the_episodes(mode: AutoresetMode) -> None:
    envs = SyncVectorEnv([Counting] * 2, autoreset_mode=mode)
    assert play(envs, episodes=5) == [1, 1, 4, 4, 9]


def test_fewer_episodes_than_environments_can_be_played() -> None:
    assert play(SyncVectorEnv([Counting] * 3), episodes=2) == [1, 1]


def test_the_memory_of_an_episode_ends_with_it() -> None:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(feature_dim=2, action_dims=2)
    starts = []
    step = bundle.get_action
    forward = []

    def get_action(*args: Any, **kwargs: Any) -> Any:
        starts.append(kwargs["episode_starts"].tolist())
        forward.append(args)
        return step(*args, **kwargs)

    bundle.get_action = get_action  # type: ignore[method-assign]  # the test records what the policy gets
    envs = SyncVectorEnv([Counting], autoreset_mode=AutoresetMode.SAME_STEP)
    evaluate_policy(bundle, envs, FeatureNormalizer(2), episodes=3)
    assert [first for (first,) in starts] == [True, True, False, True, False, False]


def test_an_episode_that_is_too_long_is_an_error() -> None:
    def endless() -> Counting:
        return Counting(endless=True)

    envs = SyncVectorEnv([Counting, endless])
    with pytest.raises(ValueError, match="max_steps: expected episodes of at most 20 steps, got"):
        play(envs, episodes=4, max_steps=20)
    assert play(SyncVectorEnv([Counting] * 2), episodes=4, max_steps=2) == [1, 1, 4, 4]


def test_sampled_actions_differ_from_the_most_probable_ones() -> None:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(feature_dim=2, action_dims=2, hidden_dim=4)

    def returns(**settings: Any) -> Any:
        envs = make_envs(num_envs=4)
        return evaluate_policy(bundle, envs, FeatureNormalizer(2), **settings).tolist()

    assert returns() == returns(deterministic=True)
    assert returns() != returns(deterministic=False)


def test_a_watcher_is_told_of_each_step() -> None:
    seen: list[tuple[int, int]] = []
    play(SyncVectorEnv([Counting]), episodes=2, watch=lambda *told: seen.append(told))
    assert seen == [(1, 1), (1, 2), (1, 3), (2, 4)]


@pytest.mark.parametrize("name", ["episodes", "max_steps"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "4", True])
def test_a_number_below_one_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected an int of at least 1"):
        play(SyncVectorEnv([Counting]), **{name: value})
