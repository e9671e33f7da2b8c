"""Terms of a loss whose gradients no optimizer uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import torch
from torch.optim import Optimizer

from tamiyo_rl.contract.graph import graph_behind
from tamiyo_rl.contract.watch.gradients import are_finite, ids_held, is_cleared, living_optimizers
from tamiyo_rl.contract.watch.movement import checksum
from tamiyo_rl.contract.watch.summands import summands, users_line


@dataclass
class Reached:
    """The parameters that a term reaches, as they were before `backward()`."""

    leaves: Mapping[int, torch.Tensor]
    checksums: list[int | None]
    had_gradient: bool = False
    was_cleared: bool = False

    def is_wasted(self, stepped: frozenset[int]) -> bool:
        """Tell whether nothing used the gradient, and nothing can use it later."""
        self.was_cleared = all(map(is_cleared, self.leaves.values()))
        is_unused = self.had_gradient and stepped.isdisjoint(self.leaves) and self.are_still
        return is_unused and (self.was_cleared or not self._are_held)

    def reaches_the_same_as(self, other: Reached) -> bool:
        """Tell whether these are the same parameters, and not those of a new copy each time."""
        return self.leaves.keys() == other.leaves.keys()

    def stays_wasted(self, joined: frozenset[int]) -> bool:
        """Tell whether it is still so at the end, when more optimizers have taken a step."""
        return joined.isdisjoint(self.leaves) and (self.was_cleared or self.are_still)

    @property
    def are_still(self) -> bool:
        """Whether the parameters are what they were; false where no checksum can tell."""
        now = list(map(checksum, self.leaves.values()))
        return None not in now and now == self.checksums

    @property
    def _are_held(self) -> bool:
        return any(not ids_held(o).isdisjoint(self.leaves) for o in living_optimizers())


class WastedTerms:
    """Follows which terms reach a parameter of an optimizer that then takes a step."""

    def __init__(self) -> None:
        self._rounds: Counter[str] = Counter()
        self._wasted: Counter[str] = Counter()
        self._last: dict[str, Reached] = {}
        self._reached: dict[str, Reached] = {}
        self._stepped: frozenset[int] = frozenset()
        self._optimizers: WeakSet[Optimizer] = WeakSet()
        self._joined: frozenset[int] = frozenset()

    def see(self, root: torch.Tensor) -> None:
        """Note what each term of a loss reaches."""
        if self._stepped:
            self._judge()
        line = users_line()
        for number, node in enumerate(summands(root.grad_fn), start=1):
            self._look(f"term {number} of backward() at {line}", node)

    def _look(self, term: str, node: Any) -> None:
        """Note what a term reaches, unless it is known to be of use."""
        if term in self._reached or self._wasted[term] < self._rounds[term]:
            return
        graph = graph_behind(node)
        if not graph.runs_python and _are_parameters(graph.leaves):
            sums = list(map(checksum, graph.leaves.values()))
            self._reached[term] = Reached(graph.leaves, sums)

    def after_backward(self) -> None:
        """See which terms gave a gradient, and none that makes a scaler skip the step."""
        for reached in self._reached.values():
            leaves = reached.leaves.values()
            reached.had_gradient = are_finite(leaves) and not all(map(is_cleared, leaves))

    def see_step(self, optimizer: Optimizer) -> None:
        """Note the parameters of an optimizer that has taken a step."""
        self._stepped |= ids_held(optimizer)
        self._optimizers.add(optimizer)

    def see_later_step(self, optimizer: Optimizer) -> None:
        """Note an optimizer that takes its first step when the terms are no longer judged."""
        if self._last and optimizer not in self._optimizers:
            self._optimizers.add(optimizer)
            self._joined |= ids_held(optimizer)

    def _judge(self) -> None:
        """Count the terms whose gradients nothing has used."""
        for term, reached in self._reached.items():
            self._rounds[term] += 1
            is_same = reached.reaches_the_same_as(self._last.get(term, reached))
            if is_same and reached.is_wasted(self._stepped):
                self._wasted[term] += 1
                self._last[term] = reached
        self._reached.clear()
        self._stepped = frozenset()

    def in_each(self, rounds: int) -> list[str]:
        """Name the terms that were wasted each time, and at least so often."""
        return [
            term
            for term, times in self._wasted.items()
            if rounds <= times == self._rounds[term] and self._last[term].stays_wasted(self._joined)
        ]


def _are_parameters(leaves: Mapping[int, torch.Tensor]) -> bool:
    """Tell whether all are parameters: the gradient of another leaf, as of an attack, is used."""
    return all(isinstance(leaf, torch.nn.Parameter) for leaf in leaves.values())
