"""What the steps of the optimizers show of the gradients."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Mapping
from weakref import WeakKeyDictionary

import torch
from torch.optim import Optimizer

from tamiyo_rl.contract.watch.movement import is_plain


class Gradients:
    """Follows each parameter until it has had a gradient that is not 0.

    Args:
        parameters: The parameters that require a gradient, by name.

    Attributes:
        steps: Steps of optimizers that hold one of them.
        given: Names of those that have had a gradient.
        nonzero: Names of those whose gradient was not 0 in some element.
        frozen: Names of those that were frozen at a step, before they had such a gradient.
        held: Names of those that an optimizer holds which has taken no step yet.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        self.parameters = parameters
        self.steps = 0
        self.given: set[str] = set()
        self.nonzero: set[str] = set()
        self.frozen: set[str] = set()
        self.held: frozenset[str] = frozenset()
        self._steps: Counter[frozenset[str]] = Counter()  # by what the optimizer holds
        self._names = {id(parameter): name for name, parameter in parameters.items()}
        self._waiting = dict(parameters)
        self._known: WeakKeyDictionary[Optimizer, tuple[int, frozenset[str]]] = WeakKeyDictionary()

    def see(self, optimizer: Optimizer) -> None:
        """Look at the gradients after a step."""
        held = self._held(optimizer)
        if not held:
            return
        self.steps += 1
        self._steps[held] += 1
        for name, parameter in tuple(self._waiting.items()):
            self._look(name, parameter)

    def stepped(self, times: int = 1) -> frozenset[str]:
        """Name the parameters whose optimizers have taken so many steps."""
        counted: Counter[str] = Counter()
        for held, steps in self._steps.items():
            counted.update(dict.fromkeys(held, steps))
        return frozenset(name for name, steps in counted.items() if steps >= times)

    def find_holders(self) -> None:
        """Note who is held by an optimizer that takes no step, and may be gone at the end."""
        if not self.given <= self.stepped() | self.held:
            self.held |= names_held(living_optimizers(), self._names)

    def _look(self, name: str, parameter: torch.Tensor) -> None:
        if not parameter.requires_grad:
            self.frozen.add(name)
            del self._waiting[name]
        elif parameter.grad is not None:
            self.given.add(name)
            if not is_plain(parameter.grad) or bool(parameter.grad.any()):  # a shard tells nothing
                self.nonzero.add(name)
                del self._waiting[name]

    def _held(self, optimizer: Optimizer) -> frozenset[str]:
        """Name the watched parameters that an optimizer holds, which seldom changes."""
        size = sum(len(group["params"]) for group in optimizer.param_groups)
        known = self._known.get(optimizer)
        if known is None or known[0] != size:
            known = self._known[optimizer] = size, names_held([optimizer], self._names)
        return known[1]


def ids_held(optimizer: Optimizer) -> frozenset[int]:
    """Return the ids of the parameters that an optimizer holds."""
    return frozenset(id(p) for group in optimizer.param_groups for p in group["params"])


def names_held(optimizers: Iterable[Optimizer], names: Mapping[int, str]) -> frozenset[str]:
    """Name the parameters that any of the optimizers holds."""
    ids = (key for optimizer in optimizers for key in ids_held(optimizer))
    return frozenset(names[key] for key in ids if key in names)


def living_optimizers() -> list[Optimizer]:
    """Find every optimizer of this process: one that has not taken a step may hold a parameter."""
    return [value for value in gc.get_objects() if issubclass(type(value), Optimizer)]


def are_finite(parameters: Iterable[torch.Tensor]) -> bool:
    """Tell whether the gradients that are plain are finite: a scaler skips the step of others."""
    gradients = (parameter.grad for parameter in parameters if parameter.grad is not None)
    return all(bool(grad.isfinite().all()) for grad in gradients if is_plain(grad))


def is_cleared(parameter: torch.Tensor) -> bool:
    """Tell whether a parameter has no gradient, or one of 0."""
    grad = parameter.grad
    return grad is None or (is_plain(grad) and not bool(grad.any()))
