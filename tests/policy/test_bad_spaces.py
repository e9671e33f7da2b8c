"""Any space, observation or action gives the result of Gymnasium or an error of ours."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from hypothesis import given
from hypothesis import strategies as st

from tamiyo_rl import Gaussian
from tamiyo_rl.policy.spaces import SpaceAdapter
from tests.strategies import each_change, junk, result_or_our_error, stable, tampered_anywhere

pytestmark = pytest.mark.clause("C10")

Space = spaces.Space[Any]

BOX = spaces.Box(-1, 1, (2,))
ODD_KEYS: st.SearchStrategy[Any] = st.sampled_from(
    ["a", "b", "action", "a.0", "0", "", 'a"]', 0, ("a", 1)]
)
BOUNDS = st.sampled_from([(-1, 1), (-np.inf, np.inf), (0, np.inf), (0, 255), (0, 1)])


def boxes() -> st.SearchStrategy[Space]:
    shapes = st.lists(st.integers(0, 2), max_size=2).map(tuple)
    whole = st.builds(
        spaces.Box, st.just(0), st.just(9), shapes, st.sampled_from([np.uint8, np.int64])
    )
    real = st.tuples(BOUNDS, shapes).map(lambda drawn: spaces.Box(*drawn[0], drawn[1]))
    return whole | real


def discrete() -> st.SearchStrategy[Space]:
    integers = st.sampled_from([np.int64, np.int32])
    one = st.builds(spaces.Discrete, st.integers(1, 4), start=st.integers(-2, 2), dtype=integers)
    far = st.just(spaces.Discrete(2, start=2**62))
    many = st.lists(st.integers(1, 3), max_size=3).map(np.array)
    sizes = many.filter(len) | st.just(np.array([[2, 3], [1, 4]]))
    multi = sizes.flatmap(
        lambda nvec: st.builds(
            spaces.MultiDiscrete,
            st.just(nvec),
            dtype=integers,
            start=st.sampled_from([None, np.full(nvec.shape, 3)]),
        )
    )
    return one | far | multi


def nested(leaves: st.SearchStrategy[Space]) -> st.SearchStrategy[Space]:
    return st.recursive(
        leaves,
        lambda inner: (
            st.dictionaries(ODD_KEYS, inner, max_size=3).map(spaces.Dict)
            | st.lists(inner, max_size=2).map(spaces.Tuple)
        ),
        max_leaves=3,
    )


OBSERVATION_SPACES = nested(
    boxes() | discrete() | st.builds(spaces.MultiBinary, st.sampled_from([1, 3, (2, 2)]))
)
UNSUPPORTED = st.sampled_from(
    [spaces.Text(3), spaces.Sequence(BOX), spaces.Graph(BOX, None), spaces.OneOf([BOX, BOX])]
)


@given(observations=nested(boxes() | UNSUPPORTED) | junk(), actions=OBSERVATION_SPACES | junk())
@stable(150)
def test_any_space_gets_an_adapter_or_is_named(observations: Any, actions: Any) -> None:
    adapter = result_or_our_error(
        lambda: SpaceAdapter(observations, actions), ["observation_space", "action_space"]
    )
    assert adapter is None or (adapter.feature_dim > 0 and adapter.action_dims)


def flat_rows(space: Space, batch: Any) -> list[Any]:
    """Flatten each part as Gymnasium does, which casts numbers and fails at an empty Tuple."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        subs = space.items() if isinstance(space, spaces.Dict) else enumerate(space)
        parts = [flat_rows(sub, batch[key]) for key, sub in subs]
        return [np.concatenate(row) for row in zip(*(part for part in parts if part), strict=True)]
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return [spaces.flatten(space, row.astype(np.int64)) for row in batch]
    return [np.ravel(row) for row in batch]


@given(space=OBSERVATION_SPACES.filter(spaces.flatdim), data=st.data(), rows=st.integers(1, 3))
@stable(80)
def test_any_observation_gives_the_features_of_gymnasium_or_is_named(
    space: Space, data: st.DataObject, rows: int
) -> None:
    adapter = SpaceAdapter(space, spaces.Discrete(2))
    batched = batch_space(space, rows)
    batched.seed(0)
    good = batched.sample()
    features = adapter.features(good)
    expected = np.stack(flat_rows(space, good)).astype(np.float32)
    np.testing.assert_array_equal(features.numpy(), expected)

    check_features(adapter, data.draw(tampered_anywhere(good)))


def check_features(adapter: SpaceAdapter, batch: Any) -> None:
    features = result_or_our_error(lambda: adapter.features(batch), ["observations"])
    if features is not None:
        plain = as_arrays(batch)
        assert is_in(adapter.observation_space, plain)
        expected = [row.astype(np.float32) for row in flat_rows(adapter.observation_space, plain)]
        np.testing.assert_array_equal(features, np.reshape(expected, features.shape))


def as_arrays(batch: Any) -> Any:
    if isinstance(batch, dict):
        return {key: as_arrays(part) for key, part in batch.items()}
    nested = isinstance(batch, tuple) and not all(np.isscalar(part) for part in batch)
    return tuple(as_arrays(part) for part in batch) if nested else np.asarray(batch)


def is_in(space: Space, batch: Any) -> bool:
    """Tell whether the indices of a batch are those of its space; numbers may be out of bounds."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        subs = space.items() if isinstance(space, spaces.Dict) else enumerate(space)
        return len(batch) == len(space) and all(is_in(sub, batch[key]) for key, sub in subs)
    if batch.shape[1:] != space.shape:
        return False
    counted = isinstance(space, spaces.Discrete | spaces.MultiDiscrete)
    return not counted or all(space.contains(row.astype(space.dtype)) for row in batch)


EACH_KIND = spaces.Dict(
    box=BOX,
    many=spaces.MultiDiscrete([2, 3], start=[1, -1]),
    few=spaces.Tuple([spaces.Discrete(3, start=1), spaces.MultiBinary(2)]),
)


def test_each_changed_observation_gives_features_or_is_named() -> None:
    adapter = SpaceAdapter(EACH_KIND, spaces.Discrete(2))
    batched = batch_space(EACH_KIND, 2)
    batched.seed(0)
    for changed in each_change(batched.sample()):
        check_features(adapter, changed)


@given(device=junk())
@stable(40)
def test_any_device_is_taken_or_named(device: Any) -> None:
    adapter = SpaceAdapter(BOX, spaces.Discrete(2))
    result_or_our_error(lambda: adapter.features(np.zeros((3, 2)), device), ["device"])


def chosen_by(dims: int | Gaussian, rows: int) -> st.SearchStrategy[torch.Tensor]:
    if isinstance(dims, Gaussian):
        numbers = st.lists(st.floats(-1e3, 1e3), min_size=dims.size, max_size=dims.size)
        return st.lists(numbers, min_size=rows, max_size=rows).map(torch.tensor)
    indices = st.lists(st.integers(0, dims - 1), min_size=rows, max_size=rows)
    return indices.map(torch.tensor)


@given(space=nested(discrete() | boxes()), data=st.data(), rows=st.integers(1, 3))
@stable(100)
def test_any_action_is_valid_in_its_space_or_named(
    space: Space, data: st.DataObject, rows: int
) -> None:
    adapter = result_or_our_error(lambda: SpaceAdapter(BOX, space), ["action_space"])
    if adapter is None:
        return
    good = {name: data.draw(chosen_by(dims, rows)) for name, dims in adapter.action_dims.items()}
    assert batch_space(space, rows).contains(adapter.actions(good))

    check_actions(adapter, data.draw(tampered_anywhere(good)))


def check_actions(adapter: SpaceAdapter, by_head: Any) -> None:
    actions = result_or_our_error(lambda: adapter.actions(by_head), ["actions"])
    rows = 0 if actions is None else len(next(iter(by_head.values())))
    assert not rows or batch_space(adapter.action_space, rows).contains(actions)


def test_each_changed_action_is_valid_or_named() -> None:
    adapter = SpaceAdapter(BOX, spaces.Dict(a=spaces.Discrete(2), b=spaces.MultiDiscrete([2, 3])))
    good = {name: torch.ones(2, dtype=torch.long) for name in adapter.action_dims}
    for changed in each_change(good):
        check_actions(adapter, changed)
