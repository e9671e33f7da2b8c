"""Samples of every supported space pass through an adapter and come back valid."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, iterate

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.policy.spaces import SpaceAdapter

pytestmark = pytest.mark.clause("C10")

BOX = spaces.Box(-1, 1, (2, 3))
OBSERVATIONS = [
    BOX,
    spaces.Box(0, 255, (4, 4, 3), dtype=np.uint8),
    spaces.Discrete(4, start=-2),
    spaces.MultiBinary([2, 3]),
    spaces.MultiDiscrete([2, 3], start=[1, -1]),
    spaces.Tuple([BOX, spaces.Discrete(3)]),
    spaces.Dict(a=BOX, b=spaces.Dict(c=spaces.Discrete(3), d=spaces.MultiBinary(2))),
]
HALF_BOUNDED = spaces.Box(
    np.array([-np.inf, 0.5], np.float32), np.array([0.1, np.inf], np.float32), dtype=np.float32
)
ACTIONS = [
    spaces.Discrete(3, start=5),
    spaces.MultiDiscrete([2, 3]),
    spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])),
    spaces.Dict(a=spaces.Discrete(2), b=spaces.MultiDiscrete([3, 2])),
    spaces.Dict(a=spaces.Dict(b=spaces.Discrete(2, start=1))),
    BOX,
    spaces.Box(-0.1, 0.1, (), dtype=np.float64),
    HALF_BOUNDED,
    spaces.Dict(gear=spaces.Discrete(2), wheels=spaces.Tuple([BOX, spaces.MultiDiscrete([2, 3])])),
]


@pytest.mark.parametrize("space", OBSERVATIONS, ids=str)
def test_features_are_those_of_gymnasium_flatten(space: spaces.Space[Any]) -> None:
    adapter = SpaceAdapter(space, ACTIONS[0])
    batched = batch_space(space, 5)
    batched.seed(0)
    batch = batched.sample()
    features = adapter.features(batch)
    assert features.shape == (5, adapter.feature_dim)
    rows: list[Any] = [spaces.flatten(space, row) for row in _rows(batched, batch)]
    np.testing.assert_allclose(features.numpy(), np.stack(rows).astype(np.float32))


def test_features_go_to_the_default_device() -> None:
    adapter = SpaceAdapter(spaces.Box(-1, 1, (2,)), ACTIONS[0])
    try:
        torch.set_default_device("meta")
        assert adapter.features(np.zeros((3, 2))).is_meta
    finally:
        torch.set_default_device(None)
    # PyTorch 2.9 cannot name its default device after this.
    assert adapter.features(np.zeros((3, 2))).is_cpu


def _rows(space: spaces.Space[Any], batch: Any) -> list[Any]:
    return list(iterate(space, batch))


@pytest.mark.parametrize("space", ACTIONS, ids=str)
def test_actions_are_valid_in_the_space_of_the_vector_environment(space: spaces.Space[Any]) -> None:
    bundle = LSTMPolicyBundle.from_spaces(BOX, space, hidden_dim=4)
    adapter = SpaceAdapter(BOX, space)
    actions = adapter.actions(bundle.get_action(torch.zeros(7, 6)).action)
    assert batch_space(space, 7).contains(actions)
    for row in _rows(batch_space(space, 7), actions):
        assert space.contains(row if isinstance(row, dict | tuple) else np.asarray(row))


def test_continuous_actions_are_clipped_to_the_bounds_and_only_there() -> None:
    chosen = {"action": torch.tensor([[-1e9, -3.0], [2.0, 1e9]])}
    expected = np.array([[-1e9, 0.5], [0.1, 1e9]], np.float32)
    np.testing.assert_array_equal(SpaceAdapter(BOX, HALF_BOUNDED).actions(chosen), expected)
    assert chosen["action"].tolist() == [[-1e9, -3.0], [2.0, 1e9]]


@pytest.mark.parametrize(
    ("observations", "actions", "message"),
    [
        (BOX, spaces.MultiBinary(2), "action_space: expected"),
        (BOX, spaces.Dict(a=spaces.MultiBinary(2)), r"action_space\['a'\]: expected"),
        (BOX, spaces.Tuple([spaces.Text(3)]), r"action_space\[0\]: expected"),
        (BOX, spaces.Box(0, 1, (0,)), "action_space: expected at least one action"),
        (
            BOX,
            spaces.Dict({"a.0": spaces.Discrete(2), "a": spaces.MultiDiscrete([2, 2])}),
            "action_space: expected keys that name each head once",
        ),
        (spaces.Text(3), ACTIONS[0], "observation_space: expected"),
        (spaces.Tuple([spaces.Text(3)]), ACTIONS[0], r"observation_space\[0\]: expected"),
    ],
)
def test_unsupported_spaces_are_named(
    observations: spaces.Space[Any], actions: spaces.Space[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SpaceAdapter(observations, actions)


@pytest.mark.parametrize("kind", [np.longdouble, complex, object, "M8[s]", str])
def test_observations_that_pytorch_cannot_hold_are_named(kind: Any) -> None:
    adapter = SpaceAdapter(spaces.Box(-1, 1, (2,)), spaces.Discrete(2))
    with pytest.raises(TypeError, match="observations: expected real numbers"):
        adapter.features(np.zeros((3, 2)).astype(kind))
