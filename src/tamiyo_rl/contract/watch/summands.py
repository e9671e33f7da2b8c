"""The summands of a loss that have no graph.

A node of the graph says that one of its operands has none, and not what that operand was. The
operators `+` and `-` of tensors are wrapped, for the first steps only, to note it at the node,
where it lives as long as the graph does.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

OPERATORS = ("__add__", "__radd__", "__iadd__", "__sub__", "__rsub__", "__isub__")
ADDITIONS = frozenset({"AddBackward0", "SubBackward0"})
FACTORS = frozenset({"MulBackward0", "NegBackward0"})
JUDGED_STEPS = 4
NOTE = "tamiyo_rl.addition"
TORCH = str(Path(torch.__file__).parent)
OURS = str(Path(__file__).parent)


class Addition(NamedTuple):
    """What an operator was given: the values of two scalars, of which one or both have a graph."""

    place: tuple[str, int]
    trained: list[torch.Tensor]
    constant: list[torch.Tensor]


class Additions:
    """Notes what scalars are added, while it is open."""

    def __init__(self) -> None:
        self._wrappers: dict[str, tuple[Any, Any]] = {}

    def open(self) -> None:
        """Wrap the operators, unless they are wrapped."""
        for name in () if self._wrappers else OPERATORS:
            wrapper = self._wrapped(getattr(torch.Tensor, name))
            self._wrappers[name] = vars(torch.Tensor).get(name), wrapper
            setattr(torch.Tensor, name, wrapper)

    def close(self) -> None:
        """Put the operators back, apart from one that somebody else has wrapped since."""
        for name, (original, wrapper) in self._wrappers.items():
            if vars(torch.Tensor).get(name) is not wrapper:
                continue
            if original is None:
                delattr(torch.Tensor, name)
            else:
                setattr(torch.Tensor, name, original)
        self._wrappers.clear()

    def _wrapped(self, operator: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(operator)
        def noted(one: torch.Tensor, other: Any) -> Any:
            if not self._wrappers or torch.compiler.is_compiling() or not _are_scalars(one, other):
                return operator(one, other)
            addition = _addition(one, other)  # before `+=` writes to one of them
            result = operator(one, other)
            with suppress(Exception):  # a watch must not end a training
                if result.grad_fn is not None:
                    result.grad_fn.metadata[NOTE] = addition
            return result

        return noted


def _are_scalars(one: object, other: object) -> bool:
    """Tell whether these are two scalars, of which one or both require grad."""
    return (
        type(one) is torch.Tensor
        and type(other) is torch.Tensor
        and (one.requires_grad or other.requires_grad)
        and one.numel() == other.numel() == 1
    )


def _addition(*operands: torch.Tensor) -> Addition | None:
    with suppress(Exception):
        trained = [operand.detach().clone() for operand in operands if operand.requires_grad]
        constant = [operand.detach().clone() for operand in operands if not operand.requires_grad]
        return Addition(users_place(), trained, constant)
    return None


class ConstantTerms:
    """Follows the terms of a loss that have no graph, over its first steps.

    Attributes:
        values: What each term was, by the place that added it and its number there.
    """

    def __init__(self) -> None:
        self.values: dict[tuple[tuple[str, int], int], list[float]] = {}

    def see(self, root: torch.Tensor) -> None:
        """Note the terms of one loss."""
        times: Counter[tuple[str, int]] = Counter()
        for place, value in constant_summands(root.grad_fn):
            times[place] += 1
            self.values.setdefault((place, times[place]), []).append(value)

    def changing(self) -> list[str]:
        """Name the terms whose value differs from step to step."""
        return self._named(lambda values: len(set(values)) > 1)

    def fixed(self) -> list[str]:
        """Name the terms that stayed one number that is not 0."""
        return self._named(lambda values: len(set(values)) == 1 and values[0] != 0)

    def _named(self, is_meant: Callable[[list[float]], bool]) -> list[str]:
        meant = (place for (place, _), values in self.values.items() if is_meant(values))
        return list(dict.fromkeys(f"added at {line}" for line, _ in meant))


def constant_summands(node: Any) -> list[tuple[tuple[str, int], float]]:
    """Return the place and the value of each constant, as far as they were noted.

    A constant that equals a summand with a graph may cancel it, as in `loss - loss.detach()`, which
    is right code; so it is left out.
    """
    notes = [n.metadata.get(NOTE) for n in _sums(node) if type(n).__name__ in ADDITIONS]
    additions = [note for note in notes if note is not None]
    trained = {abs(float(value)) for addition in additions for value in addition.trained}
    found = [(a.place, float(value)) for a in additions for value in a.constant]
    return [(place, value) for place, value in found if abs(value) not in trained]


def summands(node: Any) -> Iterator[Any]:
    """Yield the node of each summand behind a node that has a graph."""
    return (term for term in _sums(node) if not _is_passed(term))


def _sums(node: Any) -> Iterator[Any]:
    """Yield the nodes of a sum and of its summands, and go no further."""
    pending = [node]
    while pending:
        current = pending.pop()
        if current is None:
            continue
        yield current
        if _is_passed(current):
            pending += [parent for parent, _ in reversed(current.next_functions)]


def _is_passed(node: Any) -> bool:
    """Tell whether a node adds, or scales by a constant: a constant times a constant stays one.

    A product of two graphs, or a division by one, is no sum of terms: in `(v - target) * (v -
    target)` the target has no graph, and its value has a part in the gradient.
    """
    kind = type(node).__name__
    parents = [parent for parent, _ in node.next_functions]
    if kind == "DivBackward0":
        return parents[0] is not None and parents[1:] in ([], [None])
    return kind in ADDITIONS or (kind in FACTORS and parents.count(None) == len(parents) - 1)


def users_line() -> str:
    """Name the line of the caller, outside PyTorch and this package."""
    return users_place()[0]


def users_place() -> tuple[str, int]:
    """Return the line of the caller, and the instruction: a line may hold two additions."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith((TORCH, OURS)):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}", frame.f_lasti
