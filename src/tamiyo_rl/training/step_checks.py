"""The numbers and flags of one step of every environment, as `RolloutBuffer.add` takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tamiyo_rl.policy.inputs import InputChecks, require_heads, require_shape
from tamiyo_rl.policy.protocol import ActionResult, joint

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class StepChecks:
    """Turns what an environment returned into rows `[K, B]` to store, or names what is wrong.

    Args:
        checks: What the bundle accepts for one step of B environments.
    """

    def __init__(self, checks: InputChecks) -> None:
        self._checks = checks

    def numbers(
        self, result: ActionResult, rewards: ArrayLike, final_values: torch.Tensor | None
    ) -> torch.Tensor:
        """Return log-probability, value, reward and final value, finite, `[4, B]`."""
        value = result.value
        final = value if final_values is None else final_values  # unread unless an episode ended
        log_prob = self._joint_log_prob(result)
        return self.finite(log_prob=log_prob, value=value, rewards=rewards, final_values=final)

    def finite(self, **named: ArrayLike | torch.Tensor) -> torch.Tensor:
        """Stack numbers `[B]`, finite in the dtype of the policy."""
        device, dtype = self._checks.device, self._checks.dtype
        rows = torch.stack([self._row(*item).to(device, dtype) for item in named.items()])
        if not rows.is_meta and not rows.isfinite().all():
            number, place = (~rows.isfinite()).nonzero()[0].tolist()
            raise ValueError(
                f"{list(named)[number]}: expected finite numbers, got {rows[number, place]} in "
                f"environment {place}."
            )
        return rows

    def flags(
        self, terminated: ArrayLike, truncated: ArrayLike, valid: ArrayLike, *, has_final: bool
    ) -> torch.Tensor:
        """Return terminated, truncated, valid, and where a final value counts, `[4, B]` bool."""
        ends = self._flag("terminated", terminated), self._flag("truncated", truncated)
        final = ends[0] | ends[1] if has_final else torch.zeros_like(ends[0])
        return torch.stack([*ends, self._flag("valid", valid), final])

    def _joint_log_prob(self, result: ActionResult) -> torch.Tensor:
        by_head = require_heads("log_prob", result.log_prob, self._checks.action_dims)
        return joint({name: self._row(f'log_prob["{name}"]', p) for name, p in by_head.items()})

    def _flag(self, name: str, value: ArrayLike | torch.Tensor) -> torch.Tensor:
        row = self._row(name, value)
        if row.dtype != torch.bool:
            raise TypeError(f"{name}: expected bool, got {row.dtype}. Convert with .bool().")
        return row.to(self._checks.device)

    def _row(self, name: str, value: ArrayLike | torch.Tensor) -> torch.Tensor:
        """Return one number or flag for each environment, `[B]`."""
        row = _as_tensor(name, value)
        if name == "valid" and row.dim() == 0:
            row = row.expand(self._checks.steps)
        row = require_shape(name, row, {"batch": self._checks.steps[0]})
        if row.is_complex() or row.is_meta > (self._checks.device.type == "meta"):
            raise TypeError(f"{name}: expected real numbers, got {row.dtype} on {row.device}.")
        return row


def _as_tensor(name: str, value: ArrayLike | torch.Tensor) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    try:
        return torch.as_tensor(value, device="cpu")
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{name}: expected numbers, got {value!r}.") from error
