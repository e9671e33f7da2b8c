"""Calls that the guard lets pass, copies of guarded objects, and bounds of work and messages."""

import copy
import functools
import pickle
import sys
import warnings
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import attrs
import pytest
import torch
from torch import nn
from werkzeug.local import LocalProxy

from tamiyo_rl import (
    ContractError,
    InferenceTensorWarning,
    LSTMPolicyBundle,
    find_inference_tensors,
    guard_training_inputs,
)
from tamiyo_rl.contract import mark_origin
from tamiyo_rl.contract.nesting import replace_tensors
from tests.contract.leaks import make_leaked

pytestmark = pytest.mark.clause("C4", "C8")


@guard_training_inputs
def run(policy: nn.Module, features: torch.Tensor, passed: object = None) -> torch.Tensor:
    return policy(features)  # type: ignore[no-any-return]  # the call of a module is untyped


def message_of(call: Callable[[], object]) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    (warning,) = caught
    assert warning.category is InferenceTensorWarning
    return str(warning.message)


def calls_of(call: Callable[[], object]) -> int:
    """Count the Python functions that a call enters."""
    count = 0

    def profile(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


def frozen_inside(module: nn.Module) -> nn.Module:
    with torch.inference_mode():
        return copy.deepcopy(module).requires_grad_(requires_grad=False)


def test_a_frozen_part_made_inside_passes_beside_a_head_that_trains() -> None:
    policy = nn.Sequential(frozen_inside(nn.Linear(2, 2)), nn.Linear(2, 1))
    run(policy, torch.zeros(3, 2)).sum().backward()
    assert policy[1].weight.grad is not None


def test_a_frozen_part_that_a_gradient_runs_through_is_an_error_of_pytorch() -> None:
    policy = nn.Sequential(nn.Linear(2, 2), frozen_inside(nn.Linear(2, 1)))
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        run(policy, torch.zeros(3, 2))


def dead_proxy() -> Any:
    layer = nn.Linear(2, 2)
    return weakref.proxy(layer)


class Raising:
    @property
    def named_parameters(self) -> object:
        raise RuntimeError

    def __getattr__(self, name: str) -> object:
        raise LookupError(name)


@dataclass
class HalfRaising:
    x: Any

    def __getattribute__(self, name: str) -> object:
        if name == "x":
            raise RuntimeError
        return super().__getattribute__(name)


class RaisingMapping(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError


class RaisingList(list[Any]):
    def __iter__(self) -> Any:
        raise RuntimeError


class RaisingModule(nn.Module):
    def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError


PASSED: dict[str, Callable[[], Any]] = {
    "an unbound proxy": lambda: LocalProxy(ContextVar[Any]("unbound")),
    "a dead proxy": dead_proxy,
    "attributes that raise": Raising,
    "a field that raises": lambda: HalfRaising(1),
    "a mapping that raises": lambda: RaisingMapping(x=1),
    "a list that raises": lambda: RaisingList([1]),
    "a module that raises": RaisingModule,
    "a stand-in": Mock,
}


@pytest.mark.parametrize("what", PASSED)
@pytest.mark.parametrize("is_leaked", [False, True])
def test_a_value_that_raises_when_it_is_inspected_is_passed_on(what: str, is_leaked: bool) -> None:
    passed = PASSED[what]()
    seen = []

    @guard_training_inputs
    def run(policy: nn.Module, features: torch.Tensor, passed: list[Any]) -> torch.Tensor:
        seen.append(passed[0])
        return policy(features)  # type: ignore[no-any-return]  # the call of a module is untyped

    def call() -> object:
        return run(nn.Linear(2, 2), make_leaked(2) if is_leaked else torch.zeros(2), [passed])

    if is_leaked:
        assert "\n  features from" in message_of(call)
    else:
        call()
    assert seen[0] is passed


def test_a_stand_in_that_answers_to_any_name_is_not_called() -> None:
    stand_in = Mock()
    run(nn.Linear(2, 2), torch.zeros(2), stand_in)
    with pytest.warns(InferenceTensorWarning):
        run(nn.Linear(2, 2), make_leaked(2), stand_in)
    assert stand_in.mock_calls == []


def test_a_guarded_module_is_traced_symbolically() -> None:
    traced = torch.fx.symbolic_trace(Traced())
    assert [node.op for node in traced.graph.nodes] == ["placeholder", "call_module", "output"]


class Traced(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    @guard_training_inputs
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layer(features)  # type: ignore[no-any-return]  # the call of a module is untyped


def test_a_proxy_of_a_module_is_asked_for_its_parameters() -> None:
    with torch.inference_mode():
        layer = nn.Linear(2, 2)
    with pytest.raises(ContractError, match="cannot be trained:\n  weight, bias"):
        run(weakref.proxy(layer), torch.zeros(2))  # type: ignore[arg-type]  # to mypy a proxy is not a module


def test_the_fields_beside_a_field_that_raises_are_searched() -> None:
    @attrs.define
    class Pair:
        x: Any
        y: Any

    pair = Pair(1, make_leaked(2))
    del pair.x
    found = find_inference_tensors(pair=pair, more=SimpleNamespace(z=make_leaked(2)))
    assert list(found) == ["pair.y", "more.z"]


class Holder(nn.Module):
    def __init__(self, guard: Callable[[Any], Any]) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.run = guard(self)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layer(features)  # type: ignore[no-any-return]  # the call of a module is untyped


def scaled(layer: nn.Module, features: torch.Tensor) -> torch.Tensor:
    return layer(features)  # type: ignore[no-any-return]  # the call of a module is untyped


GUARDED: dict[str, Callable[[Any], Any]] = {
    "method": lambda holder: guard_training_inputs(holder.forward),
    "module": lambda holder: guard_training_inputs(holder.layer),
    "partial": lambda holder: guard_training_inputs(functools.partial(scaled, holder.layer)),
}


@pytest.mark.parametrize("kind", GUARDED)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])  # noqa: S301 - our own bytes
def test_a_copy_of_a_guarded_object_computes_with_its_own_weights(
    kind: str, copied: Callable[[Any], Any]
) -> None:
    original = Holder(GUARDED[kind])
    target = copied(original)
    nn.init.zeros_(original.layer.weight)
    nn.init.ones_(target.layer.weight)
    features = torch.ones(2)
    difference = target.run(features) - target.layer.bias
    torch.testing.assert_close(difference, torch.full((2,), 2.0))
    assert "\n  " in message_of(lambda: target.run(make_leaked(2)))


class Sampler(nn.Linear):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return super().forward(features).detach()


def test_the_copy_of_a_guard_keeps_its_options() -> None:
    with pytest.raises(ContractError, match=r"(?s)^Sampler\(\): .*differentiable_outputs=False"):
        guard_training_inputs(Sampler(2, 2))(torch.zeros(2))
    guarded = guard_training_inputs(Sampler(2, 2), differentiable_outputs=False)
    assert not copy.deepcopy(guarded)(torch.zeros(2)).requires_grad


def test_the_warning_of_a_guarded_object_points_at_the_line_of_the_caller() -> None:
    with pytest.warns(InferenceTensorWarning) as caught:
        guard_training_inputs(nn.Linear(2, 2))(make_leaked(2))
    assert caught[0].filename == __file__


def test_advice_for_other_code_does_not_speak_of_the_bundle() -> None:
    state = mark_origin(make_leaked(2), "Policy.initial_hidden")
    said = message_of(lambda: run(nn.Linear(2, 2), make_leaked(2), {"hidden": state}))
    assert "RolloutBuffer" not in said
    assert "episode_starts" not in said
    assert said.count("lost: the gradient into what made it, if that is to be trained") == 2
    assert said.count("do: clone() it outside inference mode") == 2


def test_advice_for_the_bundle_is_about_the_bundle() -> None:
    bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
    actions = {"action": torch.zeros(1, 3, dtype=torch.long)}
    said = message_of(lambda: bundle.evaluate_actions(make_leaked(1, 3, 4), actions))
    assert "lost: the gradient into what made it, if that is to be trained" in said
    assert "or take it from RolloutBuffer" in said


NUMBERS = list(range(20_000))


@pytest.mark.parametrize("numbers", [NUMBERS, tuple(NUMBERS), dict.fromkeys(NUMBERS, 0)])
@pytest.mark.parametrize("is_leaked", [False, True])
def test_a_long_list_of_numbers_costs_a_few_calls(numbers: Any, is_leaked: bool) -> None:
    layer = nn.Linear(2, 2)
    features = make_leaked(2) if is_leaked else torch.zeros(2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert calls_of(lambda: run(layer, features, {"numbers": numbers})) < 1000


def test_a_few_of_many_leaked_tensors_are_named_and_the_other_tensors_counted() -> None:
    many = {"steps": [make_leaked(1) for _ in range(10_000)]}
    said = message_of(lambda: run(nn.Linear(2, 2), torch.zeros(2), many))
    assert 'passed["steps"][7] and 9,992 more from unknown code' in said
    assert len(said) < 1000


def test_a_few_of_many_origins_are_told_and_the_other_tensors_counted() -> None:
    many = [mark_origin(make_leaked(1), f"Policy.step_{i}") for i in range(100)]
    said = message_of(lambda: run(nn.Linear(2, 2), torch.zeros(2), many))
    assert said.endswith("\n  and 96 more")
    assert said.count("from Policy.step_") == 4


def nested(depth: int, innermost: Any) -> Any:
    for _ in range(depth):
        innermost = [innermost]
    return innermost


def test_a_deep_nesting_is_searched_and_replaced_without_recursion() -> None:
    value = nested(5000, make_leaked(2))
    said = message_of(lambda: run(nn.Linear(2, 2), torch.zeros(2), value))
    assert len(said) < 1000
    (path,) = find_inference_tensors(value=value)
    assert path == "value" + "[0]" * 5000
    replaced = replace_tensors(value, torch.Tensor.clone)
    for _ in range(5000):
        (replaced,) = replaced
    assert not replaced.is_inference()
