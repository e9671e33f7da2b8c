"""Vector environments by their id, and the default task."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from tamiyo_rl.training import make_envs
from tamiyo_rl.training.envs.make import DEFAULT_TASK


def test_default_task_shows_positions_and_hides_velocities() -> None:
    envs, full = make_envs(num_envs=4), gymnasium.make_vec("CartPole-v1", num_envs=4)
    shown, whole = envs.reset(seed=3)[0], full.reset(seed=3)[0]
    np.testing.assert_array_equal(shown, whole[:, [0, 2]])
    assert envs.single_observation_space.shape == (2,)
    assert envs.observation_space.contains(shown)
    for _ in range(30):
        action = np.ones(4, dtype=np.int64)
        shown, *others = envs.step(action)
        whole, *expected = full.step(action)
        np.testing.assert_array_equal(shown, whole[:, [0, 2]])
        np.testing.assert_equal(others, expected)


def test_the_default_task_has_an_id_a_limit_and_a_threshold() -> None:
    envs = make_envs(num_envs=3)
    assert envs.spec is not None
    assert (envs.spec.id, envs.spec.reward_threshold) == (DEFAULT_TASK, 475.0)
    assert envs.num_envs == 3
    assert make_envs(max_episode_steps=7).unwrapped.max_episode_steps == 7  # type: ignore[attr-defined]  # only this environment has it


def test_the_pendulum_shows_its_angle_and_hides_its_velocity() -> None:
    shown = gymnasium.make("tamiyo-rl/PositionOnlyPendulum-v1")
    whole = gymnasium.make("Pendulum-v1")
    np.testing.assert_array_equal(shown.reset(seed=3)[0], whole.reset(seed=3)[0][:2])
    for _ in range(5):
        push = np.ones(1, np.float32)
        (seen, *others), (full, *expected) = shown.step(push), whole.step(push)
        np.testing.assert_array_equal(seen, full[:2])
        assert others == expected
        assert shown.observation_space.contains(seen)
    assert shown.spec is not None
    assert shown.spec.max_episode_steps == 200


def test_one_environment_of_the_default_task_is_the_same_task() -> None:
    single, full = gymnasium.make(DEFAULT_TASK), gymnasium.make("CartPole-v1")
    shown, whole = single.reset(seed=3)[0], full.reset(seed=3)[0]
    for _ in range(5):
        np.testing.assert_array_equal(shown, whole[[0, 2]])
        shown, whole = single.step(1)[0], full.step(1)[0]
    assert single.spec is not None
    assert single.spec.max_episode_steps == 500


@pytest.mark.parametrize(
    ("vectorization", "kind"), [("sync", SyncVectorEnv), ("async", AsyncVectorEnv)]
)
def test_vectorization_chooses_the_class_of_the_environments(
    vectorization: Any, kind: type[Any]
) -> None:
    envs = make_envs(DEFAULT_TASK, 2, vectorization=vectorization)
    assert isinstance(envs.unwrapped, kind)
    assert envs.reset(seed=0)[0].shape == (2, 2)
    envs.close()


class Switches(gymnasium.Env[Any, Any]):
    """Has actions of a kind that no policy has heads for."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.MultiBinary(2)


gymnasium.register("Switches-v0", Switches)  # type: ignore[arg-type]  # the class makes one


@pytest.mark.parametrize(
    ("env_id", "settings", "reason"),
    [
        ("NoSuchTask-v0", {}, "NameNotFound"),
        ("CartPole-v9", {}, "VersionNotFound"),
        ("nowhere/CartPole-v1", {}, "NamespaceNotFound"),
        ("no_such_module:Task-v0", {}, "ModuleNotFoundError"),
        ("", {}, "Error"),
        ("two words", {}, "Error"),
        ("CartPole-v1", {"gravity_of_mars": 3}, "gravity_of_mars"),
        ("Acrobot-v1", {"vectorization": "native"}, "vector entry point"),
        (f"{__name__}:Switches-v0", {}, "action_space: expected Box"),
    ],
)
def test_environments_that_cannot_be_made_are_named(
    env_id: str, settings: Any, reason: str
) -> None:
    with pytest.raises(ValueError, match=f"(?s)^env_id: expected.*got '{env_id}'.*{reason}"):
        make_envs(env_id, 2, **settings)


@pytest.mark.parametrize("num_envs", [0, -1, 1.5, True, "4"])
def test_a_number_of_environments_below_one_is_named(num_envs: Any) -> None:
    with pytest.raises(ValueError, match="num_envs: expected an int of at least 1"):
        make_envs("CartPole-v1", num_envs)


def test_an_unknown_vectorization_is_named() -> None:
    with pytest.raises(ValueError, match=r"vectorization: expected one of .*'async'.*'quantum'"):
        make_envs("CartPole-v1", 2, vectorization="quantum")  # type: ignore[arg-type]  # the argument is wrong on purpose
