"""Whatever is passed, a call of the bundle gives a right result or an error of ours."""

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tamiyo_rl import FactoredRecurrentActorCritic, HiddenState, LSTMPolicyBundle
from tests.strategies import (
    junk,
    result_or_our_error,
    stable,
    tampered_anywhere,
    values_of,
)

pytestmark = pytest.mark.clause("C10")

HEADS = {"op": 4, "slot": 2}
ARGUMENTS = ("features", "actions", "masks", "hidden", "episode_starts", "deterministic")
SETTINGS: dict[str, Any] = {
    "feature_dim": 3,
    "action_dims": HEADS,
    "hidden_dim": 4,
    "num_lstm_layers": 1,
    "learn_initial_hidden": False,
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
        "episode_starts": torch.ones(steps, dtype=torch.bool),
    }


@st.composite
def bad_arguments(draw: st.DrawFn, *dims: str) -> dict[str, Any]:
    arguments = good_arguments(*(draw(st.integers(1, 3), label=dim) for dim in dims))
    for name in draw(st.lists(st.sampled_from(list(arguments)), max_size=2, unique=True)):
        arguments[name] = draw(tampered_anywhere(arguments[name]))
    return arguments


def without(arguments: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in names}


def plain(value: Any, dtype: torch.dtype | None = None) -> Any:
    """Return accepted arguments as a careful caller would have passed them."""
    if isinstance(value, dict):
        types = {"features": torch.float32, "hidden": torch.float32, "actions": torch.long}
        return {name: plain(part, types.get(name, dtype)) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return tuple(plain(part, dtype) for part in value)
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


@given(arguments=bad_arguments("batch", "time"), learned=st.booleans())
@stable(250)
def test_evaluate_actions(arguments: dict[str, Any], learned: bool) -> None:
    evaluate = shared_bundle(learned).evaluate_actions
    result = result_or_our_error(lambda: evaluate(**arguments), ARGUMENTS)
    if result is not None:
        assert_right(result, evaluate(**plain(arguments)))


@given(arguments=bad_arguments("batch", "time"), learned=st.booleans())
@stable(80)
def test_forward(arguments: dict[str, Any], learned: bool) -> None:
    forward, given_here = shared_bundle(learned).forward, without(arguments, "actions")
    result = result_or_our_error(lambda: forward(**given_here), ARGUMENTS)
    if result is not None:
        assert_right(result, forward(**plain(given_here)))


@given(arguments=bad_arguments("batch"), flag=st.just(value=True) | junk(), learned=st.booleans())
@stable(250)
def test_get_action(arguments: dict[str, Any], flag: Any, learned: bool) -> None:
    act = shared_bundle(learned).get_action
    given_here = without(arguments, "actions") | {"deterministic": flag}
    result = result_or_our_error(lambda: act(**given_here), ARGUMENTS)
    if result is not None and flag is True:
        assert_right(result, act(**plain(given_here)))


@given(arguments=bad_arguments("batch"), learned=st.booleans())
@stable(80)
def test_get_value(arguments: dict[str, Any], learned: bool) -> None:
    value, given_here = shared_bundle(learned).get_value, without(arguments, "actions", "masks")
    result = result_or_our_error(lambda: value(**given_here), ARGUMENTS)
    if result is not None:
        assert_right(result, value(**plain(given_here)))


@given(name=st.sampled_from(list(SETTINGS)), value=junk())
@stable(150)
def test_constructor(name: str, value: Any) -> None:
    bundle = result_or_our_error(lambda: LSTMPolicyBundle(**SETTINGS | {name: value}), SETTINGS)
    if bundle is not None:
        features = torch.zeros(2, bundle.feature_dim)
        assert list(bundle.get_action(features).action) == list(bundle.action_dims)


@given(heads=st.dictionaries(st.sampled_from(["a", "", 'a"]', 0, None]), junk(), max_size=3))
@stable(100)
def test_action_dims(heads: dict[Any, Any]) -> None:
    bundle = result_or_our_error(lambda: LSTMPolicyBundle(3, heads), ["action_dims"])
    assert bundle is None or bundle.action_dims == heads


@given(size=junk())
@stable(50)
def test_initial_hidden(size: Any) -> None:
    initial_hidden = shared_bundle(learned=True).initial_hidden
    hidden = result_or_our_error(lambda: initial_hidden(size), ["batch_size"])
    assert hidden is None or hidden.h.shape == (2, size, 4)


@given(mode=junk())
@stable(50)
def test_train(mode: Any) -> None:
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
def test_network(network: Any) -> None:
    bundle = LSTMPolicyBundle(3, HEADS, hidden_dim=4)
    result_or_our_error(
        lambda: setattr(bundle, "network", network), ["network"], lambda: id(bundle.network)
    )
    assert bundle.get_action(torch.zeros(2, 3)).value.shape == (2,)


@st.composite
def bad_state_dicts(draw: st.DrawFn) -> dict[Any, Any]:
    good = {name: tensor + 1 for name, tensor in make_bundle().state_dict().items()}
    return draw(st.just(good) | tampered_anywhere(good))


@given(state_dict=bad_state_dicts())
@stable(100)
def test_load_state_dict(state_dict: Any) -> None:
    bundle = make_bundle()
    result_or_our_error(
        lambda: bundle.load_state_dict(state_dict), ["state_dict"], lambda: values_of(bundle)
    )
    own = bundle.state_dict()
    if own["core.weight_hh_l0"].equal(make_bundle().state_dict()["core.weight_hh_l0"] + 1):
        assert all(own[name].equal(state_dict[name].to(own[name].dtype)) for name in own)


@given(
    place=st.sampled_from([torch.float64, torch.bfloat16, torch.int64, torch.complex64, "meta"])
    | st.sampled_from([torch.float8_e5m2, torch.quint8, "cuda:99", "nowhere"])
    | junk(),
    name=st.sampled_from([None, "device", "dtype", "unknown"]),
)
@stable(100)
def test_to(place: Any, name: str | None) -> None:
    bundle = make_bundle()
    result_or_our_error(
        lambda: bundle.to(**{name: place}) if name else bundle.to(place),
        ["to"],
        lambda: values_of(bundle),
    )
    features = torch.zeros(2, 3, dtype=bundle.dtype, device=bundle.device)
    assert bundle.get_action(features).value.dtype == bundle.dtype


@given(name=st.sampled_from(["mode", "backend", "dynamic", "unknown"]), value=junk())
@stable(50)
def test_compile(name: str, value: Any) -> None:
    bundle = make_bundle()
    if not callable(value) or name != "backend":
        result_or_our_error(
            lambda: bundle.compile(**{name: value}), ["compile"], lambda: bundle.is_compiled
        )
