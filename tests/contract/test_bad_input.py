"""The guard finds every leak in any input, and the audits name each argument they cannot use."""

import warnings
from collections import OrderedDict, UserDict, deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, fields
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any, Self

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tamiyo_rl import (
    HiddenState,
    InferenceTensorWarning,
    audit_backward,
    audit_gradients,
    find_inference_tensors,
    guard_training_inputs,
    trace_crossings,
)
from tamiyo_rl.contract import mark_origin, origin_of
from tests.contract.leaks import make_leaked
from tests.strategies import (
    each_change,
    junk,
    result_or_our_error,
    stable,
    tampered,
    tampered_anywhere,
)

pytestmark = pytest.mark.clause("C4", "C8")

LAYER = nn.Linear(2, 2)


@dataclass(frozen=True, slots=True)
class Frozen:
    x: Any
    y: Any


@attrs.define
class Attrs:
    x: Any
    y: Any


class Pair(tuple[Any, ...]):
    """A tuple whose constructor takes its parts one by one."""

    __slots__ = ()

    def __new__(cls, *parts: Any) -> Self:
        return super().__new__(cls, parts)


class Batch(MutableMapping[str, Any]):
    """A mapping that shares its items with a plain copy."""

    def __init__(self, items: Mapping[str, Any]) -> None:
        self.kept = dict(items)

    def __getitem__(self, key: str) -> Any:
        return self.kept[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.kept[key] = value

    def __delitem__(self, key: str) -> None:
        del self.kept[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.kept)

    def __len__(self) -> int:
        return len(self.kept)


MAPPINGS: list[Callable[[dict[str, Any]], Any]] = [dict, OrderedDict, UserDict, MappingProxyType]
MAPPINGS += [Batch, lambda items: SimpleNamespace(**items)]
PAIRS: list[Callable[[Any, Any], Any]] = [HiddenState, Frozen, Attrs, Pair]


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    with torch.inference_mode(draw(st.booleans())):
        tensor = torch.zeros(draw(st.integers(0, 2)))
    return nn.Parameter(tensor) if draw(st.booleans()) and not tensor.is_inference() else tensor


def nestings() -> st.SearchStrategy[Any]:
    leaves = tensors() | st.sampled_from(
        [None, 1, 0.5, "text", LAYER, nn.LazyLinear(2), torch.Tensor]
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.lists(inner, max_size=3).map(tuple),
            st.lists(inner, max_size=3).map(lambda parts: deque(parts, maxlen=9)),
            inner.map(lambda part: [part, part]),
            st.tuples(
                st.sampled_from(MAPPINGS), st.dictionaries(st.sampled_from("abc"), inner)
            ).map(lambda drawn: drawn[0](drawn[1])),
            st.tuples(st.sampled_from(PAIRS), inner, inner).map(lambda drawn: drawn[0](*drawn[1:])),
        ),
        max_leaves=8,
    )


def list_parts(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, tuple | list | deque):
        return list(value)
    if isinstance(value, SimpleNamespace):
        return list(vars(value).values())
    if isinstance(value, Frozen | Attrs):
        names = attrs.fields(Attrs) if isinstance(value, Attrs) else fields(Frozen)
        return [getattr(value, field.name) for field in names]
    return []


def list_leaves(value: Any) -> list[Any]:
    parts = list_parts(value)
    return [leaf for part in parts for leaf in list_leaves(part)] if parts else [value]


def describe_types(value: Any) -> Any:
    """Return the types in a nesting; a copy of a parameter is a plain tensor."""
    kind = torch.Tensor if isinstance(value, torch.Tensor) else type(value)
    return kind, [describe_types(part) for part in list_parts(value)]


def is_leaked(leaf: Any) -> bool:
    lazy = isinstance(leaf, nn.UninitializedParameter)
    return isinstance(leaf, torch.Tensor) and not lazy and leaf.is_inference()


@given(value=nestings())
@stable(200)
def test_the_guard_replaces_leaked_tensors_and_nothing_else(value: Any) -> None:
    check_guard(value)


@pytest.mark.parametrize("kind", MAPPINGS)
def test_each_mapping_keeps_its_type(kind: Callable[[dict[str, Any]], Any]) -> None:
    check_guard(kind({"a": make_leaked(2), "b": [kind({"c": make_leaked(2)})]}))


@pytest.mark.parametrize("kind", PAIRS)
def test_each_pair_keeps_its_type(kind: Callable[[Any, Any], Any]) -> None:
    check_guard(kind(make_leaked(2), kind(1, make_leaked(2))))


def check_guard(value: Any) -> None:
    received: list[Any] = []

    @guard_training_inputs
    def run(policy: nn.Module, value: Any) -> torch.Tensor:
        received.append(value)
        return policy(torch.zeros(2))  # type: ignore[no-any-return]  # the call of a module is untyped

    before = list_leaves(value)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(LAYER, value)
    assert [w.category for w in caught] == [InferenceTensorWarning] * any(map(is_leaked, before))
    assert describe_types(received[0]) == describe_types(value)
    for was, now, still in zip(before, list_leaves(received[0]), list_leaves(value), strict=True):
        assert not is_leaked(now)
        assert still is was
        assert is_leaked(was) or was is now or was == now == []
    found = find_inference_tensors(value=value)
    assert {id(t) for t in found.values()} == {id(leaf) for leaf in before if is_leaked(leaf)}
    for path, tensor in found.items():
        assert eval(path, {"value": value}) is tensor  # noqa: S307 - a path is an expression


@given(value=junk())
@stable(60)
def test_anything_is_searched_and_marked(value: Any) -> None:
    assert find_inference_tensors(value=value) == {}
    assert mark_origin(value, "Policy.step") is value
    origin_and_mark = [
        result_or_our_error(lambda: [origin_of(value)], ["tensor"]),
        result_or_our_error(lambda: [mark_origin(torch.zeros(1), value)], ["method"]),
    ]
    assert [part is not None for part in origin_and_mark] == [
        isinstance(value, kind) for kind in (torch.Tensor, str)
    ]


@given(method=junk().filter(lambda value: value is not None))
@stable(60)
def test_anything_is_guarded_and_callable_or_named(method: Any) -> None:
    guarded = result_or_our_error(lambda: guard_training_inputs(method), ["method"])
    assert guarded is None or (callable(guarded) and callable(method))


@given(
    terms=tampered_anywhere({"policy": LAYER(torch.ones(2)).sum(), "value": LAYER.weight.sum()}),
    module=st.just(LAYER) | junk(),
    untouched=st.sampled_from([(), ["weight"], ["none"], [3]]) | junk(),
    optimizer=st.none() | junk(),
)
@stable(150)
def test_any_input_of_the_audits_gives_a_report_or_is_named(
    terms: Any, module: Any, untouched: Any, optimizer: Any
) -> None:
    names = ["terms", "module", "untouched", "optimizer"]
    report = result_or_our_error(
        lambda: audit_gradients(terms, module, untouched=untouched, optimizer=optimizer), names
    )
    if report is not None:
        named = {*report.reached, *report.constants, *report.opaque, *report.switched_off}
        assert named == set(terms)
    result_or_our_error(lambda: audit_backward(module, untouched=untouched), names)


def test_each_changed_term_of_a_loss_is_audited_or_named() -> None:
    terms = {"policy": LAYER(torch.ones(2)).sum(), "value": LAYER.weight.sum()}
    for changed in each_change(terms):
        result_or_our_error(partial(audit_gradients, changed, LAYER), ["terms"])


@given(first=tampered(torch.zeros(2, 2)))
@stable(100)
def test_the_tracer_follows_any_tensor(first: torch.Tensor) -> None:
    with warnings.catch_warnings(), torch.inference_mode(), trace_crossings():
        warnings.simplefilter("ignore")
        for change in (torch.clone, torch.Tensor.detach, torch.Tensor.to_dense):
            try:
                first = change(first)
            except (RuntimeError, ValueError) as error:
                assert "storage" not in str(error)  # noqa: PT017 - PyTorch has others of its own


def test_neither_a_name_nor_a_class_is_audited() -> None:
    with pytest.raises(TypeError, match="untouched: expected a list of names, got 'weight'"):
        audit_backward(LAYER, untouched="weight")
    with pytest.raises(TypeError, match=r"^module: .* got the class Linear"):
        audit_backward(nn.Linear)  # type: ignore[arg-type]  # the argument is wrong on purpose


@pytest.mark.parametrize(
    "method", [staticmethod(print), classmethod(print), property(print), max, torch.add, nn.Linear]
)
def test_a_callable_without_named_arguments_is_not_guarded(method: Any) -> None:
    with pytest.raises(TypeError, match="method: expected a function whose arguments have names"):
        guard_training_inputs(method)


def test_the_tracer_lets_vmap_pass() -> None:
    with torch.inference_mode(), trace_crossings():
        assert torch.func.vmap(lambda row: row[:1] + 1)(torch.zeros(3, 2)).shape == (3, 1)
