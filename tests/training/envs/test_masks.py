"""Masks of the environment reach the policy, the buffer, training and evaluation."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import (
    ActionMasks,
    EnvironmentStepper,
    FeatureNormalizer,
    PPOConfig,
    RecurrentPPO,
    RolloutBatch,
    evaluate_policy,
)

SPACES = {
    "discrete": Discrete(3, start=5),
    "multi": MultiDiscrete([2, 3]),
    "dict": Dict(arm=MultiDiscrete([2, 2]), turn=Discrete(3)),
    "mixed": Dict(arm=MultiDiscrete([2, 2]), push=Box(-1, 1, (2,)), turn=Discrete(3)),
    "tuple": Tuple([Box(-1, 1, (2,)), Discrete(2), Discrete(3)]),
}
SIZES = {
    "discrete": [3],
    "multi": [2, 3],
    "dict": [2, 2, 3],
    "mixed": [2, 2, 3],
    "tuple": [2, 3],
}


class Choosy(gymnasium.Env[Any, Any]):
    """Allows one action of each head, another one at each step, and none after the end."""

    observation_space = Box(-1, 1, (2,))

    def __init__(self, kind: str, given: str) -> None:
        self.kind = kind
        self.given = given
        self.action_space = SPACES[kind]
        self.sizes = SIZES[kind]
        self.time = 0
        self.length = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed, options=options)
        self.time = 0
        self.length = self.length % 3 + 1
        return self.observe(), self.info()

    def step(self, action: Any) -> Any:
        for size, chosen in zip(self.sizes, self.flat(action), strict=True):
            assert chosen == self.time % size
        self.time += 1
        ended = self.time == self.length
        return self.observe(), 1.0, ended, False, self.info()

    def observe(self) -> Any:
        return np.array([self.time / 4, self.length / 4], dtype=np.float32)

    def flat(self, action: Any) -> list[int]:
        if self.kind == "discrete":
            return [int(action) - 5]
        if self.kind == "tuple":
            return [*map(int, action[1:])]
        return (
            [*map(int, action)]
            if self.kind == "multi"
            else [*map(int, action["arm"]), int(action["turn"])]
        )

    def heads(self) -> list[Any]:
        over = self.time == self.length
        return [
            np.array([not over and i == self.time % n for i in range(n)], np.int8)
            for n in self.sizes
        ]

    def info(self) -> dict[str, Any]:
        if self.given != "info":
            return {}
        heads = self.heads()
        if self.kind in {"dict", "mixed"}:
            return {"action_mask": {"arm": tuple(heads[:2]), "turn": heads[2]}}
        if self.kind == "tuple":
            return {"action_mask": (None, *heads)}
        return {"action_mask": tuple(heads) if self.kind == "multi" else heads[0]}

    def action_masks(self) -> Any:
        return np.concatenate(self.heads())

    def has_wrapper_attr(self, name: str) -> bool:
        return (name != "action_masks" or self.given == "method") and super().has_wrapper_attr(name)


def make(
    kind: str, given: str, mode: AutoresetMode, *, asynchronous: bool = False
) -> VectorEnv[Any, Any, Any]:
    vector = AsyncVectorEnv if asynchronous else SyncVectorEnv
    return vector([lambda: Choosy(kind, given)] * 2, autoreset_mode=mode)


def log_probs_of(bundle: LSTMPolicyBundle, batch: RolloutBatch) -> dict[str, torch.Tensor]:
    evaluation = bundle.evaluate_actions(
        batch.features, batch.actions, batch.masks, batch.hidden, episode_starts=batch.plan
    )
    return evaluation.log_prob


@pytest.mark.clause("C9")
@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("given", ["info", "method"])
@pytest.mark.parametrize("kind", SPACES)
def test_masked_actions_are_never_taken_and_the_ratio_is_one(
    kind: str, given: str, mode: AutoresetMode
) -> None:
    envs = make(kind, given, mode)
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space, envs.single_action_space, hidden_dim=4
    )
    config = PPOConfig(
        total_steps=64, num_steps=16, num_minibatches=1, sequence_length=16, epochs=1
    )
    trainer = RecurrentPPO(envs, bundle, config)
    reports = list(trainer.train())  # the environment asserts that it gets what it allows
    assert len(reports) == 2
    batch = next(trainer.buffer.sequences())
    assert batch.masks is not None
    for mask in batch.masks.values():
        assert (mask.sum(dim=-1)[batch.valid] == 1).all()
        assert mask[~batch.valid].all()
    choices = [
        log_prob for head, log_prob in log_probs_of(bundle, batch).items() if head in batch.masks
    ]
    assert torch.stack(choices)[:, batch.valid].abs().max() < 1e-6
    returns = evaluate_policy(bundle, make(kind, given, mode), FeatureNormalizer(2))
    assert returns.tolist() == [1.0, 1.0]


def test_masks_of_other_processes_are_read() -> None:
    envs = make("multi", "method", AutoresetMode.NEXT_STEP, asynchronous=True)
    stepper = EnvironmentStepper(envs)
    stepper.reset(seed=0)
    assert stepper.masks is not None
    assert stepper.masks.astype(int).tolist() == [[1, 0, 1, 0, 0]] * 2
    envs.close()


class NativeChoosy(VectorEnv[Any, Any, Any]):
    """Batches its masks itself."""

    num_envs = 3
    single_observation_space = Box(-1, 1, (2,))
    single_action_space = MultiDiscrete([2, 3])

    def action_masks(self) -> Any:
        return np.array([[1, 0, 1, 1, 0]] * 3)


def test_masks_of_native_environments_are_read() -> None:
    envs = NativeChoosy()
    masks = ActionMasks(envs)
    expected = [[True, False, True, True, False]] * 3
    assert masks.read({}) is not None
    assert np.array_equal(masks.read({}), expected)  # type: ignore[arg-type]  # None would fail the assertion
    by_head = masks.by_head(masks.read({}), torch.device("cpu"))
    assert by_head is not None
    assert {name: mask.shape for name, mask in by_head.items()} == {"0": (3, 2), "1": (3, 3)}
    tuples = {"action_mask": (np.array([[1, 0]] * 3), np.array([[1, 1, 0]] * 3))}
    assert np.array_equal(masks.read(tuples), expected)  # type: ignore[arg-type]  # None would fail the assertion


def test_an_environment_without_a_mask_allows_everything() -> None:
    masks = ActionMasks(make("discrete", "info", AutoresetMode.NEXT_STEP))
    info = {
        "action_mask": np.array([[1, 0, 0], [0, 0, 0]]),
        "_action_mask": np.array([True, False]),
    }
    assert np.array_equal(masks.read(info), [[True, False, False], [True] * 3])  # type: ignore[arg-type]  # None would fail the assertion
    given = np.array([np.array([0, 1, 0]), None], dtype=object)
    assert np.array_equal(masks.read({"action_mask": given}), [[False, True, False], [True] * 3])  # type: ignore[arg-type]  # None would fail the assertion


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((2, 4)), r'info\["action_mask"\]: expected shape \[2, 3\]'),
        (np.ones(2), r"expected shape \[2, 3\]"),
        (np.ones((3, 3)), "expected (shape|0 or 1)"),
        (np.full((2, 3), 2), "expected 0 or 1 for each action, got .*2"),
        (np.array([None] * 3), "expected 0 or 1 for each action"),
        (np.full((2, 3), np.nan), "expected 0 or 1 for each action, got .*nan"),
        ("all", "expected 0 or 1"),
        ([[1], [1, 2]], "expected 0 or 1"),
        (np.array([[["a"] * 3] * 2]), "expected 0 or 1"),
    ],
)
def test_bad_masks_are_named(mask: Any, message: str) -> None:
    masks = ActionMasks(make("discrete", "info", AutoresetMode.NEXT_STEP))
    with pytest.raises(ValueError, match=message):
        masks.read({"action_mask": mask})


def test_a_missing_part_of_a_dict_of_masks_allows_everything() -> None:
    masks = ActionMasks(make("dict", "info", AutoresetMode.NEXT_STEP))
    flat = masks.read({"action_mask": {"turn": np.array([[0, 0, 1]] * 2)}})
    assert np.array_equal(flat, [[True] * 4 + [False, False, True]] * 2)  # type: ignore[arg-type]  # None would fail the assertion
