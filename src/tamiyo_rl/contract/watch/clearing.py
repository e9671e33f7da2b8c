"""Whether gradients are cleared between the steps of an optimizer, and used before they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.optim import Optimizer

from tamiyo_rl.contract.watch.gradients import are_finite, ids_held, is_cleared
from tamiyo_rl.contract.watch.movement import checksum, is_plain


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
        self._left: int | None = None  # checksum of the gradient that the last step left
        self._before: int | None = None  # the same before the last backward()
        self._was_cleared = True
        self._is_new = False
        self._is_finite = True
        self._scale: float | None = None

    def before_backward(self, roots: tuple[torch.Tensor, ...]) -> None:
        """See whether the gradient is gone, or was changed by hand, as an eligibility trace is."""
        scale = next(map(scale_of, roots), None)
        if self._followed is not None and is_cleared(self._followed):
            self.unused += self._is_new and (self._is_finite or self._is_stuck_at(scale))
            self._was_cleared = True
            self._is_new = False
        elif not self._is_new:
            self._was_cleared |= self._left != self._gradient_sum()
        self._before = self._gradient_sum()
        self._scale = scale

    def _is_stuck_at(self, scale: float | None) -> bool:
        """Tell whether a scaler has not lowered the scale, as one does that skips a step."""
        return scale is not None and scale == self._scale

    def after_backward(self) -> None:
        """See whether there is a gradient, and whether a scaler may skip its step."""
        if self._followed is None:
            self._followed = next(filter(_has_gradient, self._parameters.values()), None)
        self._is_new |= self._gradient_sum() != self._before  # else this one gave it nothing
        if not self.steps:  # after a step, no gradient counts as unused
            self._is_finite = are_finite(self._parameters.values())

    def after_step(self, optimizer: Optimizer) -> None:
        """Count a step, if its optimizer holds the parameter."""
        if self._followed is None or id(self._followed) not in ids_held(optimizer):
            return
        if self._is_new:
            self.steps += 1
            self.kept += not self._was_cleared
        self._left = self._gradient_sum()
        self._was_cleared = False
        self._is_new = False

    def _gradient_sum(self) -> int | None:
        """Return a checksum of the gradient, None without one."""
        grad = None if self._followed is None else self._followed.grad
        return None if grad is None else checksum(grad)


def scale_of(root: torch.Tensor) -> float | None:
    """Return the number that a loss was multiplied with last, as a gradient scaler does."""
    factor = getattr(root.grad_fn, "_saved_other", None)
    if isinstance(factor, torch.Tensor) and factor.numel() == 1:
        return float(factor.detach())
    return None


def _has_gradient(parameter: torch.Tensor) -> bool:
    return parameter.grad is not None and is_plain(parameter.grad)
