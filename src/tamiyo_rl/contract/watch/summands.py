"""The summands of a loss that have no graph.

A node of the graph says that one of its operands has none, and not what that operand was. The
operators `+` and `-` of tensors are wrapped, for the first steps only, to remember it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

OPERATORS = ("__add__", "__radd__", "__iadd__", "__sub__", "__rsub__", "__isub__")
ADDITIONS = frozenset({"AddBackward0", "SubBackward0"})
PASSED = frozenset({"MulBackward0", "DivBackward0", "NegBackward0"})  # with one operand's graph
JUDGED_STEPS = 4
MOST_NODES = 1_000
TORCH = str(Path(torch.__file__).parent)
OURS = str(Path(__file__).parent)


class Operand(NamedTuple):
    """A scalar without a graph, and the scalar with a graph that it was added to."""

    constant: torch.Tensor
    trained: torch.Tensor

    @property
    def is_known_to_cancel(self) -> bool:
        """Whether the two are equal, as in `loss - loss.detach()`, which is right code."""
        return bool(self.constant == self.trained)


class Additions:
    """Remembers what was added without a graph, while it is open."""

    def __init__(self) -> None:
        self.operands: dict[Any, Operand] = {}
        self._originals: dict[str, Any] = {}

    def open(self) -> None:
        """Wrap the operators, unless they are wrapped."""
        for name in () if self._originals else OPERATORS:
            self._originals[name] = vars(torch.Tensor).get(name)
            setattr(torch.Tensor, name, self._wrapped(getattr(torch.Tensor, name)))

    def close(self) -> None:
        """Put the operators back."""
        for name, original in self._originals.items():
            if original is None:
                delattr(torch.Tensor, name)
            else:
                setattr(torch.Tensor, name, original)
        self._originals.clear()
        self.operands.clear()

    def _wrapped(self, operator: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(operator)
        def remember(one: torch.Tensor, other: Any) -> Any:
            if torch.compiler.is_compiling() or not _may_mix(one, other):
                return operator(one, other)
            constant, trained = (other, one) if one.requires_grad else (one, other)
            operand = Operand(constant.detach().clone(), trained.detach().clone())
            result = operator(one, other)
            if result.grad_fn is not None and len(self.operands) < MOST_NODES:
                self.operands[result.grad_fn] = operand
            return result

        return remember


def _may_mix(one: torch.Tensor, other: object) -> bool:
    """Tell whether these are two scalars, of which only one requires grad."""
    return (
        type(one) is torch.Tensor
        and type(other) is torch.Tensor
        and one.requires_grad is not other.requires_grad
        and one.numel() == other.numel() == 1
    )


class ConstantTerms:
    """Follows the terms of a loss that have no graph, over its first steps.

    Attributes:
        values: What each term was, by the line that called `backward()` and its number there.
    """

    def __init__(self) -> None:
        self.values: dict[str, list[float]] = {}

    def see(self, root: torch.Tensor, operands: Mapping[Any, Operand]) -> None:
        """Note the terms of one loss."""
        line = users_line()
        for number, operand in enumerate(constant_summands(root.grad_fn, operands), start=1):
            if not operand.is_known_to_cancel:
                term = f"term {number} of backward() at {line}"
                self.values.setdefault(term, []).append(float(operand.constant))

    def changing(self) -> list[str]:
        """Name the terms whose value differs from step to step."""
        return [term for term, values in self.values.items() if len(set(values)) > 1]

    def fixed(self) -> list[str]:
        """Name the terms that stayed one number that is not 0."""
        return [term for term, values in self.values.items() if len(set(values)) == 1 and values[0]]


def constant_summands(node: Any, operands: Mapping[Any, Operand]) -> Iterator[Operand]:
    """Yield the constants among the summands behind a node, as far as they were remembered."""
    return (operands[addition] for addition in _sums(node) if addition in operands)


def summands(node: Any) -> Iterator[Any]:
    """Yield the node of each summand behind a node that has a graph."""
    return (term for term in _sums(node) if type(term).__name__ not in ADDITIONS | PASSED)


def _sums(node: Any) -> Iterator[Any]:
    """Yield the nodes of a sum and of its summands, and go no further."""
    pending = [node]
    while pending:
        current = pending.pop()
        if current is None:
            continue
        yield current
        if type(current).__name__ in ADDITIONS | PASSED:
            pending += [parent for parent, _ in reversed(current.next_functions)]


def users_line() -> str:
    """Name the line that called `backward()`, outside PyTorch and this package."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith((TORCH, OURS)):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
