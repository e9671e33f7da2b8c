"""Any call of the bundle gives a right result or an error of ours, and changes nothing then."""

import contextlib
import copy
import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tamiyo_rl import HiddenState, LSTMPolicyBundle
from tamiyo_rl.policy import FactoredRecurrentActorCritic
from tests.strategies import (
    JUNK,
    each_change,
    junk,
    result_or_our_error,
    stable,
    tampered_anywhere,
    values_of,
)

pytestmark = pytest.mark.clause("C10")

HEADS = {"op": 4, "slot": 2}
Drawn = tuple[dict[str, Any], list[str]]

ARGUMENTS = ("features", "actions", "masks", "hidden", "episode_starts")
# The sizes of all arguments are the features', and a mask may forbid an action.
MAY_NAME = {"features": ARGUMENTS, "masks": ("masks", "actions")}
SETTINGS: dict[str, Any] = {
    "feature_dim": 3,
    "action_dims": HEADS,
    "hidden_dim": 4,
    "num_lstm_layers": 1,
    "learn_initial_hidden": False,
    "critic": "shared",
    "head_dims": [5],
    "encoder": None,
    "validate": True,
}


@cache
def shared_bundle(learned: bool) -> LSTMPolicyBundle:
    return LSTMPolicyBundle(3, HEADS, hidden_dim=4, num_lstm_layers=2, learn_initial_hidden=learned)


def make_bundle() -> LSTMPolicyBundle:
    return LSTMPolicyBundle(3, HEADS, hidden_dim=4, encoder=nn.BatchNorm1d(3))


def good_arguments(*steps: int) -> dict[str, Any]:
    state = torch.linspace(-1, 1, 2 * steps[0] * 4).view(2, steps[0], 4)
    return {
        "features": torch.arange(3.0).expand(*steps, 3).clone(),
        "actions": {name: torch.ones(steps, dtype=torch.long) for name in HEADS},
        "masks": {name: torch.ones(*steps, size, dtype=torch.bool) for name, size in HEADS.items()},
        "hidden": HiddenState(state, state.flip(0)),
        "episode_starts": torch.arange(math.prod(steps)).view(steps) % 2 == 0,
    }


@st.composite
def bad_arguments(draw: st.DrawFn, *dims: str) -> Drawn:
    """Draw arguments, and which of them an error may name; all have the sizes of the features."""
    arguments = good_arguments(*(draw(st.integers(1, 3), label=dim) for dim in dims))
    bad = draw(st.lists(st.sampled_from(list(arguments)), max_size=2, unique=True))
    for name in bad:
        arguments[name] = draw(tampered_anywhere(arguments[name]))
    return arguments, [n for name in bad for n in MAY_NAME.get(name, [name])] + ["episode_starts"]


def to_plain(value: Any, dtype: torch.dtype | None = None) -> Any:
    """Return accepted arguments as a careful caller would have passed them."""
    if isinstance(value, dict):
        types = {"features": torch.float32, "hidden": torch.float32, "actions": torch.long}
        return {name: to_plain(part, types.get(name, dtype)) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return tuple(to_plain(part, dtype) for part in value)
    return torch.tensor(value.tolist(), dtype=dtype) if isinstance(value, torch.Tensor) else value


def tensors_of(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result.detach().as_subclass(torch.Tensor)]
    parts = result.values() if isinstance(result, dict) else result
    return [tensor for part in parts for tensor in tensors_of(part)]


def assert_right(got: Any, expected: Any) -> None:
    for left, right in zip(tensors_of(got), tensors_of(expected), strict=True):
        torch.testing.assert_close(left, right)
        assert left.isfinite().all()


def check(call: Callable[..., Any], arguments: dict[str, Any], names: Iterable[str]) -> None:
    result = result_or_our_error(lambda: call(**arguments), names)
    if result is not None:
        expected = result_or_our_error(lambda: call(**to_plain(arguments)), ())
        assert_right(result, expected)


def one_step(arguments: dict[str, Any], *without: str) -> dict[str, Any]:
    return {name: arguments[name] for name in arguments if name not in ("actions", *without)}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_each_changed_training_call_is_right_or_named(name: str) -> None:
    good = good_arguments(2, 3)
    evaluate = shared_bundle(learned=False).evaluate_actions
    for changed in each_change(good[name]):
        check(evaluate, good | {name: changed}, MAY_NAME.get(name, [name]))


@pytest.mark.parametrize("name", ["features", "masks", "hidden", "episode_starts"])
def test_each_changed_rollout_call_is_right_or_named(name: str) -> None:
    good = one_step(good_arguments(2))
    act = shared_bundle(learned=True).get_action
    for changed in each_change(good[name]):
        check(act, good | {name: changed, "deterministic": True}, MAY_NAME.get(name, [name]))


@given(drawn=bad_arguments("batch", "time"), learned=st.booleans())
@stable(150)
def test_any_evaluate_actions_is_right_or_named(drawn: Drawn, learned: bool) -> None:
    check(shared_bundle(learned).evaluate_actions, *drawn)


@given(drawn=bad_arguments("batch", "time"), learned=st.booleans())
@stable(60)
def test_any_forward_is_right_or_named(drawn: Drawn, learned: bool) -> None:
    arguments, names = drawn
    check(shared_bundle(learned).forward, one_step(arguments), names)


@given(drawn=bad_arguments("batch"), learned=st.booleans())
@stable(100)
def test_any_get_action_is_right_or_named(drawn: Drawn, learned: bool) -> None:
    arguments, names = drawn
    check(shared_bundle(learned).get_action, one_step(arguments) | {"deterministic": True}, names)


@given(drawn=bad_arguments("batch"), learned=st.booleans())
@stable(60)
def test_any_get_value_is_right_or_named(drawn: Drawn, learned: bool) -> None:
    arguments, names = drawn
    check(shared_bundle(learned).get_value, one_step(arguments, "masks"), names)


@given(flag=junk())
@stable(50)
def test_any_value_of_deterministic_is_right_or_named(flag: Any) -> None:
    act = shared_bundle(learned=False).get_action
    result_or_our_error(lambda: act(torch.zeros(2, 3), deterministic=flag), ["deterministic"])


@given(name=st.sampled_from(list(SETTINGS)), value=junk())
@stable(150)
def test_any_setting_makes_a_bundle_or_is_named(name: str, value: Any) -> None:
    bundle = result_or_our_error(lambda: LSTMPolicyBundle(**SETTINGS | {name: value}), SETTINGS)
    if bundle is not None:
        features = torch.zeros(2, bundle.feature_dim)
        assert list(bundle.get_action(features).action) == list(bundle.action_dims)


@given(heads=st.dictionaries(st.sampled_from(["a", "", 'a"]', 0, None]), junk(), max_size=3))
@stable(100)
def test_any_action_dims_are_taken_or_named(heads: dict[Any, Any]) -> None:
    bundle = result_or_our_error(lambda: LSTMPolicyBundle(3, heads), ["action_dims"])
    assert bundle is None or bundle.action_dims == heads


@given(size=junk())
@stable(50)
def test_any_batch_size_is_taken_or_named(size: Any) -> None:
    initial_hidden = shared_bundle(learned=True).initial_hidden
    hidden = result_or_our_error(lambda: initial_hidden(size), ["batch_size"])
    assert hidden is None or hidden.h.shape == (2, size, 4)


@given(mode=junk())
@stable(50)
def test_any_mode_is_taken_or_named(mode: Any) -> None:
    bundle = make_bundle()
    result_or_our_error(lambda: bundle.train(mode), ["mode"], lambda: bundle.training)


@given(
    network=junk()
    | st.builds(
        FactoredRecurrentActorCritic,
        feature_dim=st.integers(3, 4),
        num_actions=st.integers(6, 7),
        hidden_dim=st.integers(4, 5),
        num_lstm_layers=st.integers(1, 2),
        learn_initial_hidden=st.booleans(),
    )
)
@stable(100)
def test_any_network_is_taken_or_named(network: Any) -> None:
    bundle = LSTMPolicyBundle(3, HEADS, hidden_dim=4)
    result_or_our_error(
        lambda: setattr(bundle, "network", network), ["network"], lambda: id(bundle.network)
    )
    assert bundle.get_action(torch.zeros(2, 3)).value.shape == (2,)


def check_load(bundle: LSTMPolicyBundle, state_dict: Any) -> None:
    """Load a state dict into a bundle, compare, and put the old state dict back."""
    kept = copy.deepcopy(bundle.state_dict())

    def load() -> bool:
        bundle.load_state_dict(state_dict)
        return True

    if result_or_our_error(load, ["state_dict"], lambda: values_of(bundle)):
        own = bundle.state_dict()
        for name, tensor in own.items():
            loaded = state_dict[name].detach().to(tensor.dtype)
            loaded = loaded if loaded.shape == tensor.shape else loaded[0]  # PyTorch takes a vector
            torch.testing.assert_close(tensor, loaded, rtol=0, atol=0, equal_nan=True)
        bundle.load_state_dict(kept)


@given(more=st.dictionaries(st.sampled_from(["more", 0, None, "core._extra_state"]), junk()))
@stable(60)
def test_any_additional_entry_of_a_state_dict_is_taken_or_named(more: Any) -> None:
    bundle = make_bundle()
    check_load(bundle, {name: tensor + 1 for name, tensor in bundle.state_dict().items()} | more)


@pytest.mark.parametrize(
    "name", ["value_head.bias", "core.weight_hh_l0", "encoder.num_batches_tracked"]
)
def test_each_changed_state_dict_is_loaded_or_named(name: str) -> None:
    bundle = make_bundle()
    good = {name: tensor + 1 for name, tensor in bundle.state_dict().items()}
    for changed in each_change(good[name]):
        check_load(bundle, good | {name: changed})
    for changed in JUNK:
        check_load(bundle, changed)


@given(
    place=st.sampled_from([torch.float64, torch.bfloat16, torch.int64, "cuda:99", "nowhere"]),
    name=st.sampled_from([None, "device", "dtype", "unknown"]),
)
@stable(30)
def test_a_bundle_works_wherever_to_has_left_it(place: Any, name: str | None) -> None:
    bundle = make_bundle()
    with contextlib.suppress(RuntimeError, TypeError, AssertionError):  # PyTorch's own
        bundle.to(**{name: place}) if name else bundle.to(place)
    features = torch.zeros(2, 3, dtype=bundle.dtype, device=bundle.device)
    assert bundle.get_action(features).value.dtype == bundle.dtype


def test_a_bundle_works_after_compile_was_refused() -> None:
    bundle = make_bundle()
    with pytest.raises(RuntimeError):
        bundle.compile(mode="fast")
    assert not bundle.is_compiled
    assert bundle.get_action(torch.zeros(2, 3)).value.shape == (2,)
