"""Whether gradients are cleared between the steps of an optimizer, and used before they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch


class Clearing:
    """Follows one parameter, the first that had a gradient.

    Attributes:
        kept: Steps whose gradient still held that of the step before.
        steps: Steps that could show it.
        unused: Gradients that were cleared before any step.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        self.kept = 0
        self.steps = 0
        self.unused = 0
        self._parameters = parameters
        self._followed: torch.Tensor | None = None
        self._was_cleared = True
        self._is_new = False

    def before_backward(self) -> None:
        """See whether the gradient is gone."""
        if self._followed is None:
            return
        if self._followed.grad is None or not bool(self._followed.grad.any()):
            self._was_cleared = True
            self.unused += self._is_new
            self._is_new = False

    def after_backward(self) -> None:
        """See whether there is a gradient."""
        if self._followed is None:
            given = (p for p in self._parameters.values() if p.grad is not None)
            self._followed = next(given, None)
        self._is_new = self._followed is not None and self._followed.grad is not None

    def after_step(self) -> None:
        """Count a step of the optimizer that holds the parameter."""
        if self._is_new:
            self.steps += 1
            self.kept += not self._was_cleared
        self._was_cleared = False
        self._is_new = False

    def is_held_by(self, optimizer: torch.optim.Optimizer) -> bool:
        """Tell whether an optimizer holds the parameter."""
        groups = (group["params"] for group in optimizer.param_groups)
        return any(p is self._followed for params in groups for p in params)
