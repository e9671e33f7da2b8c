"""`find_inference_tensors` finds every carrier, and says what it did not enter."""

import functools
import weakref
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict  # type: ignore[import-untyped]  # it ships no types
from torch import nn

from tamiyo_rl import find_inference_tensors
from tamiyo_rl.contract import search


def leaked() -> torch.Tensor:
    with torch.inference_mode():
        return torch.zeros(2)


class Slotted:
    __slots__ = ("empty", "keys")

    def __init__(self) -> None:
        self.keys = [leaked()]


class Agent:
    def __init__(self, module: nn.Module) -> None:
        self.nets = {"actor": module}

    @property
    def trap(self) -> None:
        raise AssertionError


@dataclass
class Batch:
    features: torch.Tensor


def module_with_a_buffer() -> nn.Module:
    module = nn.Sequential(nn.Linear(2, 2))
    module[0].register_buffer("table", leaked())
    return module


def module_with_a_cache() -> nn.Module:
    module = nn.Linear(2, 2)
    module.cache = {"rotary": [leaked()]}  # type: ignore[assignment]  # as users keep one
    return module


def module_born_there() -> nn.Module:
    with torch.inference_mode():
        return nn.Linear(2, 2)


def closure() -> Any:
    table = leaked()
    return lambda: table


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        (leaked(), ["v"]),
        ((leaked(), [leaked()]), ["v[0]", "v[1][0]"]),
        ({"op": leaked(), 3: leaked(), Batch: leaked()}, ['v["op"]', "v[3]", "v[type]"]),
        (Batch(leaked()), ["v.features"]),
        (SimpleNamespace(x=leaked()), ["v.x"]),
        (Slotted(), ["v.keys[0]"]),
        ({leaked()}, ["v[0]"]),
        (Agent(module_with_a_buffer()), ['v.nets["actor"].0.table']),
        (module_with_a_buffer(), ["v.0.table"]),
        (module_with_a_cache(), ['v.cache["rotary"][0]']),
        (module_born_there(), ["v.weight", "v.bias"]),
        (TensorDict({"x": leaked()}, [2]), ['v["x"]']),
        (functools.partial(print, leaked()), ["v.args[0]"]),
        (module_with_a_buffer().forward, ["v.__self__.0.table"]),
    ],
)
def test_each_carrier_is_entered(value: object, paths: list[str]) -> None:
    found = find_inference_tensors(v=value)
    assert list(found) == paths
    assert all(tensor.is_inference() for tensor in found.values())
    assert found.unseen == []


@pytest.mark.parametrize(
    "value",
    [
        *(None, 3, "text", torch.float32, torch.device("cpu"), np.zeros(2), np.float32(1)),
        *(print, leaked, int, torch, [], {}, (), nn.ReLU(), torch.zeros(2), Agent(nn.Linear(2, 2))),
    ],
)
def test_what_holds_none_is_empty(value: object) -> None:
    found = find_inference_tensors(v=value)
    assert found == {}
    assert found.unseen == []


def test_what_does_not_show_what_it_holds_is_said() -> None:
    target = Agent(nn.ReLU())
    proxy = weakref.proxy(target)
    values = {"later": (leaked() for _ in range(2)), "made": closure(), "proxy": proxy}
    assert find_inference_tensors(**values).unseen == ["later", "made", "proxy"]


def test_cycles_end() -> None:
    knot: list[Any] = [leaked()]
    knot.append(knot)
    agent = Agent(nn.ReLU())
    agent.nets["self"] = agent  # type: ignore[assignment]  # it holds itself
    assert list(find_inference_tensors(knot=knot, agent=agent)) == ["knot[0]"]


def test_a_limit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_VALUES", 10)
    found = find_inference_tensors(v=[SimpleNamespace() for _ in range(20)])
    assert found.unseen == ["v[9]"]


def test_many_numbers_are_passed_over() -> None:
    found = find_inference_tensors(v=list(range(1_000_000)), w=dict.fromkeys(range(1000), 1.0))
    assert found == {}
    assert found.unseen == []


def test_an_object_that_raises_is_said() -> None:
    class Broken(dict[str, int]):
        def items(self) -> Any:
            raise ValueError

        def values(self) -> Any:
            raise ValueError

    assert find_inference_tensors(v=Broken(x=1)).unseen == ["v"]
