"""What the steps of the optimizers show of the parameters."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from weakref import WeakKeyDictionary

import torch
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Gradients:
    """Follows each parameter until it has had a gradient that is not 0.

    Args:
        parameters: The parameters that require a gradient, by name.

    Attributes:
        steps: Steps of optimizers that hold one of them.
        stepped: Names of those whose optimizer has taken a step.
        given: Names of those that have had a gradient.
        moved: Names of those whose gradient was not 0 in some element.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        self.parameters = parameters
        self.steps = 0
        self.stepped: set[str] = set()
        self.given: set[str] = set()
        self.moved: set[str] = set()
        self._names = {id(parameter): name for name, parameter in parameters.items()}
        self._waiting = dict(parameters)
        self._known: WeakKeyDictionary[Optimizer, tuple[int, frozenset[str]]] = WeakKeyDictionary()

    def see(self, optimizer: Optimizer) -> None:
        """Look at the gradients after a step."""
        held = self._held(optimizer)
        if not held:
            return
        self.steps += 1
        self.stepped |= held
        for name, parameter in tuple(self._waiting.items()):
            if parameter.grad is not None:
                self._take(name, parameter.grad)

    def _take(self, name: str, gradient: torch.Tensor) -> None:
        self.given.add(name)
        if not is_plain(gradient) or bool(gradient.any()):  # of a shard, nothing is said
            self.moved.add(name)
            del self._waiting[name]

    def _held(self, optimizer: Optimizer) -> frozenset[str]:
        """Name the watched parameters that an optimizer holds, which seldom changes."""
        size = sum(len(group["params"]) for group in optimizer.param_groups)
        if optimizer not in self._known or self._known[optimizer][0] != size:
            self._known[optimizer] = size, names_held([optimizer], self._names)
        return self._known[optimizer][1]


def names_held(optimizers: Iterable[Optimizer], names: Mapping[int, str]) -> frozenset[str]:
    """Name the parameters that any of the optimizers holds."""
    return frozenset(names[key] for key in ids_held(optimizers) if key in names)


def ids_held(optimizers: Iterable[Optimizer]) -> frozenset[int]:
    """Return the ids of the parameters that the optimizers hold."""
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    return frozenset(id(parameter) for group in groups for parameter in group["params"])


def living_optimizers() -> list[Optimizer]:
    """Find every optimizer of this process: one that has not taken a step may hold a parameter."""
    return [value for value in gc.get_objects() if issubclass(type(value), Optimizer)]


def is_plain(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor is a dense one with values, and not a shard or another stand-in."""
    kind = type(tensor)
    known = kind is torch.Tensor or kind is torch.nn.Parameter
    return known and tensor.layout == torch.strided and not tensor.is_meta and not is_lazy(tensor)


def checksum(parameter: torch.Tensor) -> int | None:
    """Add up the bits of the elements, so that a change of one shows; None where it cannot be."""
    size = parameter.element_size() if is_plain(parameter) else 0
    if size not in INTEGERS or not parameter.numel() or parameter.is_complex():
        return None
    with torch.no_grad():
        return int(parameter.detach().view(INTEGERS[size]).sum(dtype=torch.int64))
