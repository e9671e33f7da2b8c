"""`guard_module` guards `forward` in place, and the module stays what it is."""

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tamiyo_rl import ContractError, InferenceTensorWarning, guard_module


def leaked() -> torch.Tensor:
    with torch.inference_mode():
        return torch.zeros(1, 2, 8)


def caught_from(module: nn.Module) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module(torch.zeros(2, 5, 4), leaked())
    return caught


def test_the_argument_is_named_at_the_line_of_the_user() -> None:
    (warning,) = caught_from(guard_module(nn.GRU(4, 8, batch_first=True)))
    assert warning.category is InferenceTensorWarning
    assert "hx from unknown code" in str(warning.message)
    assert Path(warning.filename) == Path(__file__)


def pickled(module: nn.Module) -> Any:
    return pickle.loads(pickle.dumps(module))  # noqa: S301 - it is our own


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
def test_a_copy_guards_itself(duplicate: Any) -> None:
    module = guard_module(nn.GRU(4, 8, batch_first=True))
    other = duplicate(module)
    assert len(caught_from(other)) == 1
    nn.init.zeros_(other.weight_ih_l0)
    nn.init.zeros_(other.bias_ih_l0)
    features = torch.ones(2, 5, 4)
    assert not torch.equal(module(features)[0], other(features)[0])


def test_it_stays_the_module_that_it_was() -> None:
    module = nn.Linear(2, 2)
    names, state = list(module.state_dict()), type(module)
    assert guard_module(module) is module
    forward = module.forward
    assert guard_module(module).forward is forward
    assert (list(module.state_dict()), type(module)) == (names, state)
    called = []
    module.register_forward_hook(lambda *_: called.append(1))
    assert module(torch.ones(1, 2)).requires_grad
    assert called == [1]


def test_outputs_without_a_graph_are_refused_unless_said() -> None:
    class Actor(nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return super().forward(inputs).detach()

    with pytest.raises(ContractError, match="no output requires grad"):
        guard_module(Actor(2, 2))(torch.ones(1, 2))
    guard_module(Actor(2, 2), differentiable_outputs=False)(torch.ones(1, 2))


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match=r"module: expected an nn\.Module, got"):
        guard_module(leaked)  # type: ignore[type-var]  # on purpose
