"""PyTorch's error about inference tensors says where the arguments of a guarded call hold them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tamiyo_rl import guard_module, guard_training_inputs

pytestmark = pytest.mark.clause("C4")


class Batch:
    """A batch class with slots, of which the guard replaces nothing."""

    __slots__ = ("features",)

    def __init__(self, features: torch.Tensor) -> None:
        self.features = features


class Agent:
    """Holds its modules in a dict."""

    def __init__(self) -> None:
        self.nets = {"actor": nn.Linear(4, 2)}

    @guard_training_inputs
    def evaluate(self, batch: Batch) -> torch.Tensor:
        """Evaluate a batch, by a guarded function."""
        return act(self.nets["actor"], batch)

    @guard_training_inputs
    def evaluate_copy(self, batch: Batch) -> torch.Tensor:
        """Evaluate a copy of the batch, which is right."""
        output: torch.Tensor = self.nets["actor"](batch.features.clone())
        return output


@guard_training_inputs
def act(actor: nn.Module, batch: Batch) -> torch.Tensor:
    """Call the actor."""
    output: torch.Tensor = actor(batch.features)
    return output


class Rotary(nn.Module):
    """Multiplies by a table that it made under inference mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        with torch.inference_mode():
            self.table = torch.ones(4)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Turn the features."""
        output: torch.Tensor = self.layer(features) * self.table
        return output


def leaked() -> Batch:
    """Return a batch of the rollout."""
    with torch.inference_mode():
        return Batch(torch.zeros(3, 4))


def notes_of(error: BaseException) -> list[str]:
    """Return the notes of an error."""
    return list(getattr(error, "__notes__", ()))


def test_a_plain_object_is_named_once_though_two_guards_see_the_error() -> None:
    with pytest.raises(RuntimeError, match="cannot be saved for backward") as raised:
        Agent().evaluate(leaked())
    (note,) = notes_of(raised.value)
    assert note.splitlines()[:2] == [
        "inference tensors among the arguments of act():",
        "  batch.features",
    ]


def test_an_attribute_of_a_guarded_module_is_named() -> None:
    with pytest.raises(RuntimeError, match="cannot be saved for backward") as raised:
        guard_module(Rotary())(torch.zeros(3, 4))
    (note,) = notes_of(raised.value)
    assert "  self.table\n" in note


def test_nothing_is_said_of_a_method_that_copies_by_itself() -> None:
    assert Agent().evaluate_copy(leaked()).requires_grad


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2") as raised:
        Agent().evaluate_copy(Batch(torch.zeros(3, 5)))
    assert not notes_of(raised.value)
    with pytest.raises(RuntimeError, match="element 0 of tensors") as raised:
        guard_training_inputs(lambda: torch.zeros(()).backward())()
    assert not notes_of(raised.value)
