"""Returns of a custom vector environment are converted, or refused by the name of the value."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers.vector import DictInfoToList

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import ActionMasks, EnvironmentStepper, PPOConfig, RecurrentPPO
from tests.training.envs.test_masks import make
from tests.training.scripted import SCRIPTS, NativeScripted

LEFT = {"action": torch.zeros(3, dtype=torch.long)}
STEP = "observations", "rewards", "terminated", "truncated", "info"


class Changed(NativeScripted):
    """Replaces one item of the result of each step."""

    def __init__(
        self,
        name: str,
        change: Callable[[Any], Any],
        mode: AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        super().__init__(SCRIPTS, mode)
        self.name = name
        self.change = change

    def step(self, actions: Any) -> Any:
        items = dict(zip(STEP, super().step(actions), strict=True))
        items[self.name] = self.change(items[self.name])
        return tuple(items.values())


def play(envs: Any, steps: int = 12) -> list[list[Any]]:
    """Step, and return the results as lists."""
    stepper = EnvironmentStepper(envs)
    stepper.reset(seed=0)
    played = [stepper.step(LEFT) for _ in range(steps)]
    assert {flags.dtype for step in played for flags in step[2:6]} == {np.dtype(bool)}
    return [[None if part is None else part.tolist() for part in step] for step in played]


@pytest.mark.parametrize("name", ["terminated", "truncated"])
@pytest.mark.parametrize("kind", [np.int8, np.int64, np.float32, np.uint8, object, list])
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_flags_given_as_numbers_are_flags(name: str, kind: Any, mode: AutoresetMode) -> None:
    def change(flags: Any) -> Any:
        return flags.tolist() if kind is list else flags.astype(kind)

    assert play(Changed(name, change, mode)) == play(NativeScripted(SCRIPTS, mode))


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float16, object, list])
def test_rewards_of_any_kind_of_number_are_rewards(kind: Any) -> None:
    def change(rewards: Any) -> Any:
        rounded = rewards.round()
        return rounded.tolist() if kind is list else rounded.astype(kind)

    expected = play(Changed("rewards", lambda rewards: rewards.round()))
    assert play(Changed("rewards", change)) == expected


class Reusing(NativeScripted):
    """Returns its own flags, and clears them when it is reset."""

    def __init__(self) -> None:
        super().__init__(SCRIPTS, AutoresetMode.DISABLED)
        self.flags = [np.zeros(3, dtype=bool), np.zeros(3, dtype=bool)]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        for flags in self.flags:
            flags[:] = False
        return super().reset(seed=seed, options=options)

    def step(self, actions: Any) -> Any:
        observations, rewards, *ends, info = super().step(actions)
        for flags, own in zip(self.flags, ends, strict=True):
            flags[:] = own
        return observations, rewards, *self.flags, info


def test_flags_are_kept_where_the_environment_clears_its_own() -> None:
    assert play(Reusing()) == play(NativeScripted(SCRIPTS, AutoresetMode.DISABLED))


BAD: list[tuple[str, Callable[[Any], Any], str]] = [
    ("terminated", lambda flags: flags + 2, "True or False.*, got 2 from environment 0"),
    ("truncated", lambda flags: flags + 0.5, "True or False.*, got 0.5 from environment 0"),
    ("truncated", lambda flags: flags * np.nan, "True or False.*, got nan from environment 0"),
    ("terminated", lambda flags: flags[:2], r"shape \[3\], one for each environment, got \[2\]"),
    ("terminated", lambda flags: flags[:, None], r"shape \[3\].*, got \[3, 1\]"),
    ("truncated", lambda _: False, r"shape \[3\].*, got \[\]"),
    ("truncated", lambda _: None, "an array of numbers, got"),
    ("terminated", lambda _: ["no"] * 3, "an array of numbers, got"),
    ("rewards", lambda rewards: rewards[:2], r"shape \[3\], one for each environment, got \[2\]"),
    ("rewards", lambda rewards: rewards * 1j, "an array of numbers, got complex128"),
    ("rewards", lambda _: ["one"] * 3, "an array of numbers, got"),
    ("rewards", lambda rewards: rewards - 1e155, r"finite numbers of float32, got -1e\+155 from e"),
    ("observations", lambda seen: seen[:2], "3 rows, one for each environment, got 2"),
    ("observations", lambda seen: seen[:, :1], r"shape \[B, 2\], got \[3, 1\]"),
    ("observations", lambda _: None, "real numbers for .*, got object"),
    (
        "observations",
        lambda seen: seen.astype(np.float64) + 1e300,
        r"finite numbers of float32, got 1e\+300 from environment 0 at step 1",
    ),
    ("info", lambda _: None, "a dict, or a list of 3 dicts, one for each environment, got None"),
    ("info", lambda _: [{}], "a dict, or a list of 3 dicts, one for each environment, got list of"),
    ("info", lambda _: [None] * 3, "a dict, or a list of 3 dicts, .*, got list of 3"),
]


@pytest.mark.parametrize(("name", "change", "message"), BAD, ids=range(len(BAD)))
def test_a_returned_value_that_cannot_be_read_is_named(
    name: str, change: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{name}: expected {message}"):
        play(Changed(name, change))


def test_a_step_of_four_items_is_named() -> None:
    envs: Any = NativeScripted(SCRIPTS, AutoresetMode.NEXT_STEP)
    envs.step = lambda actions: (envs.state, np.zeros(3), np.zeros(3, dtype=bool), {})
    with pytest.raises(TypeError, match=r"^envs: expected step\(\) to return \(observations, rew"):
        play(envs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda info: {}, '^info: expected "final_obs" of environment 1.*truncated at step 3, got'),
        (
            lambda info: info | {"final_obs": np.array([None] * 3)},
            '^info: expected "final_obs" of environment 1, whose episode was truncated at step 3',
        ),
        (
            lambda info: {name: value[:2] for name, value in info.items()},
            r'^info\["final_obs"\]: expected 3 rows, one for each environment, got 2',
        ),
        (
            lambda info: info | {"final_obs": info.get("final_obs", np.zeros((3, 2)))[:, :1]},
            r'^info\["final_obs"\]: expected shape \[B, 2\], got \[1, 1\]',
        ),
        (
            lambda info: info | {"final_obs": np.full((3, 2), 1e300)},
            r'^info\["final_obs"\]: .* of float32, got 1e\+300 from environment 1 at step 3',
        ),
        (lambda info: info | {"final_obs": 3}, r'^info\["final_obs"\]: expected shape \[B, 2\]'),
    ],
)
def test_a_final_observation_that_cannot_be_read_is_named(
    change: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        play(Changed("info", change, AutoresetMode.SAME_STEP))


class Batched(VectorEnv[Any, Any, Any]):
    """Truncates each episode at its second step, and batches the parts of its observations."""

    single_observation_space = gymnasium.spaces.Dict(
        room=gymnasium.spaces.Discrete(9),
        place=gymnasium.spaces.Tuple([gymnasium.spaces.Box(0, 9, (2,))]),
    )
    single_action_space = gymnasium.spaces.Discrete(2)
    num_envs = 3
    time = 0

    def __init__(self) -> None:
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.time = 0
        return self.observe(), {}

    def step(self, actions: Any) -> Any:
        self.time += 1
        ended = np.full(3, self.time == 2)
        info = {"final_obs": self.observe()} if ended.all() else {}
        self.time %= 2
        return self.observe(), np.zeros(3), ~ended & ended, ended, info

    def observe(self) -> Any:
        place = np.full((3, 2), self.time, dtype=np.float32)
        return {"room": np.array([0, 1, 2]) + self.time, "place": (place,)}


def test_final_observations_of_a_batched_dict_are_read() -> None:
    envs = Batched()
    stepper = EnvironmentStepper(envs)
    stepper.reset(seed=0)
    assert stepper.step(LEFT).final_features is None
    final = stepper.step(LEFT).final_features
    assert final is not None
    envs.time = 2
    assert final.equal(stepper.spaces.features(envs.observe()))


class Nested(gymnasium.Env[Any, Any]):
    """Shows a dict with a number that is too large, on its second step."""

    observation_space = gymnasium.spaces.Dict(
        near=gymnasium.spaces.Box(-1, 1, (1,)), far=gymnasium.spaces.Box(-1, 1, (2,), np.float64)
    )
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self.observe(), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return self.observe(), 0.0, False, False, {}

    def observe(self) -> Any:
        return {"near": np.zeros(1, np.float32), "far": np.array([0, 1e300 * (self.time == 2)])}


def test_the_part_of_a_nested_observation_is_named() -> None:
    message = r"^observations\['far'\]: .*, got 1e\+300 from environment 0 at step 2"
    with pytest.raises(ValueError, match=message):
        play(SyncVectorEnv([Nested] * 3))


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ({"action": torch.zeros(2, dtype=torch.long)}, r'\["action"\]: expected shape \[batch=3\]'),
        ({"action": torch.full((3,), 2)}, r'\["action"\]: expected indices from 0 to 1, got 2'),
        ({"action": torch.zeros(3)}, r'\["action"\]: expected the values of integers'),
        ({}, ": expected a mapping with one tensor for each of the heads"),
    ],
)
def test_wrong_actions_are_named_and_nothing_is_stepped(actions: Any, message: str) -> None:
    envs = NativeScripted(SCRIPTS, AutoresetMode.NEXT_STEP)
    stepper = EnvironmentStepper(envs)
    stepper.reset(seed=0)
    before = envs.state.copy()
    with pytest.raises((TypeError, ValueError), match=f"^actions{message}"):
        stepper.step(actions)
    assert np.array_equal(envs.state, before)
    stepper.step(LEFT)


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("kind", ["discrete", "multi", "dict"])
def test_masks_in_a_list_of_infos_are_obeyed(kind: str, mode: AutoresetMode) -> None:
    envs = DictInfoToList(make(kind, "info", mode))
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space, envs.single_action_space, hidden_dim=4
    )
    config = PPOConfig(
        total_steps=64, num_steps=16, num_minibatches=1, sequence_length=16, epochs=1
    )
    assert len(list(RecurrentPPO(envs, bundle, config).train())) == 2  # the environment asserts


def test_final_observations_in_a_list_of_infos_are_read() -> None:
    def change(info: Any) -> Any:
        given = info.get("_final_obs", [False] * 3)
        return [{"final_obs": info["final_obs"][i]} if given[i] else {} for i in range(3)]

    mode = AutoresetMode.SAME_STEP
    assert play(Changed("info", change, mode)) == play(NativeScripted(SCRIPTS, mode))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.array([[1, 1, 1], [0, 2, 1]]), "got 2 from environment 1 at index 1"),
        (
            np.array([[1, 1, 1], [0, None, 1]], dtype=object),
            "got None from environment 1 at index 1",
        ),
        (
            np.array([None, np.array([0, np.nan, 1])], dtype=object),
            "got nan from environment 1 at index 1",
        ),
    ],
)
def test_the_value_the_environment_and_the_index_of_a_bad_mask_are_named(
    mask: Any, message: str
) -> None:
    masks = ActionMasks(make("discrete", "info", AutoresetMode.NEXT_STEP))
    expected = rf'^info\["action_mask"\]: expected 0 or 1 for each action, {message}'
    with pytest.raises(ValueError, match=expected):
        masks.read({"action_mask": mask})
    rows = [{"action_mask": row} for row in mask if row is not None]
    rows = [{}] * (2 - len(rows)) + rows
    with pytest.raises(ValueError, match=expected):
        masks.read(rows)
