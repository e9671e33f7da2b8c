"""Terms of a loss whose gradients no optimizer uses."""

from __future__ import annotations

from collections import Counter

import torch
from torch.optim import Optimizer

from tamiyo_rl.contract.graph import graph_behind
from tamiyo_rl.contract.watch.summands import summands, users_line


class WastedTerms:
    """Follows which terms reach a parameter of an optimizer that then takes a step."""

    def __init__(self) -> None:
        self._rounds: Counter[str] = Counter()
        self._wasted: Counter[str] = Counter()
        self._reached: dict[str, frozenset[int]] = {}
        self._stepped: set[int] = set()

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
        self._stepped |= {id(p) for group in optimizer.param_groups for p in group["params"]}

    def judge(self) -> None:
        """Count the terms whose gradients the steps since then did not use."""
        for term, leaves in self._reached.items():
            self._rounds[term] += 1
            self._wasted[term] += self._stepped.isdisjoint(leaves)
        self._reached.clear()
        self._stepped.clear()

    def in_each(self, rounds: int) -> list[str]:
        """Name the terms that were wasted each time, and at least so often."""
        return [t for t, times in self._wasted.items() if rounds <= times == self._rounds[t]]
