"""Terms of a loss whose gradients no optimizer uses."""

from __future__ import annotations

from collections import Counter

import torch
from torch.optim import Optimizer

from tamiyo_rl.contract.graph import graph_behind
from tamiyo_rl.contract.watch.gradients import ids_held, living_optimizers
from tamiyo_rl.contract.watch.summands import summands, users_line


class WastedTerms:
    """Follows which terms reach a parameter of an optimizer that then takes a step."""

    def __init__(self) -> None:
        self._rounds: Counter[str] = Counter()
        self._wasted: Counter[str] = Counter()
        self._reached: dict[str, frozenset[int]] = {}
        self._leaves: dict[str, frozenset[int]] = {}
        self._stepped: set[int] = set()
        self._ever_stepped: set[int] = set()

    def see(self, root: torch.Tensor) -> None:
        """Note what each term of a loss reaches."""
        if self._stepped:
            self.judge()
        line = users_line()
        for number, node in enumerate(summands(root.grad_fn), start=1):
            graph = graph_behind(node)
            if not graph.runs_python:
                self._reached[f"term {number} of backward() at {line}"] = frozenset(graph.leaves)

    def see_step(self, optimizer: Optimizer) -> None:
        """Note the parameters of an optimizer that has taken a step."""
        held = ids_held([optimizer])
        self._stepped |= held
        self._ever_stepped |= held

    def judge(self) -> None:
        """Count the terms whose gradients the steps since then did not use."""
        for term, leaves in self._reached.items():
            self._rounds[term] += 1
            self._wasted[term] += self._stepped.isdisjoint(leaves)
        self._leaves |= self._reached
        self._reached.clear()
        self._stepped.clear()

    def in_each(self, rounds: int) -> list[str]:
        """Name the terms that were wasted each time, and at least so often.

        An optimizer that has not taken a step yet may still use the gradients.
        """
        wasted = [t for t, times in self._wasted.items() if rounds <= times == self._rounds[t]]
        later = ids_held(living_optimizers()) - self._ever_stepped if wasted else frozenset()
        return [term for term in wasted if later.isdisjoint(self._leaves[term])]
