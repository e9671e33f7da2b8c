"""Separator steps, which set the state of an LSTM exactly: where they go, and their weights.

A separator has no features. One more input column for each kind of step drives the gates instead:
to exactly 0 at a separator that zeroes the state (c = 0, h = 0), and to the learned values at one
that writes a learned initial state over the zeroed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from tamiyo_rl.policy.layout import Layout

# Drives a gate to exactly 0 or 1 in every floating point type, and is finite in float16.
SATURATION = 1e4


class LearnedState(NamedTuple):
    """What one layer learns of its initial state, `[hidden]` each.

    Attributes:
        cell: The initial cell state is its tanh.
        output: The initial output gate is its sigmoid.
    """

    cell: torch.Tensor
    output: torch.Tensor


def insert_separators(steps: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Put the steps of a batch, `[B * T, F]`, in their places, `[places, F]`, zeros between."""
    return nn.functional.pad(steps, (0, 0, 0, 1)).index_select(0, layout.steps)


def remove_separators(places: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Take the steps of a batch, `[B * T, F]`, back from their places, `[places, F]`."""
    return places.index_select(0, layout.places)


def augmented_weights(
    weights: Sequence[torch.Tensor], learned: LearnedState | None
) -> list[torch.Tensor]:
    """Return the weights of a layer with the input weights of the kind columns.

    Args:
        weights: `[w_ih, w_hh, b_ih, b_hh]`, or without the biases.
        learned: What the layer learns of its initial state; None for zeros.
    """
    w_ih, w_hh, *biases = weights
    b_ih, b_hh = biases or (w_hh.new_zeros(w_hh.shape[0]),) * 2
    if learned is None:
        return [nn.functional.pad(w_ih, (0, 1), value=-SATURATION), w_hh, b_ih, b_hh]
    # The cell and output gates take their bias from the column of the real steps, so that
    # nothing has to cancel it where the state is written: in TF32 it would not cancel.
    seeded = b_ih + b_hh
    real, zeroing = seeded - _without_seeded_gates(seeded), torch.full_like(seeded, -SATURATION)
    columns = torch.stack([real, zeroing, _writing_column(learned)], dim=1)
    b_ih, b_hh = _without_seeded_gates(b_ih), _without_seeded_gates(b_hh)
    return [torch.cat([w_ih, columns], dim=1), w_hh, b_ih, b_hh]


def in_one_buffer(weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """Copy the weights into one flat buffer, without which cuDNN warns at each call and copies.

    Args:
        weights: Of one layer.

    Examples:
        ```python
        import torch
        from tamiyo_rl.policy.separators import in_one_buffer

        weights = [torch.randn(8, 3), torch.randn(8, 2), torch.randn(8)]
        copies = in_one_buffer(weights)
        print(all(a.equal(b) for a, b in zip(copies, weights)))
        print(len({copy.untyped_storage().data_ptr() for copy in copies}))
        ```

        ```text
        True
        1
        ```
    """
    flat = torch.cat([weight.flatten() for weight in weights])
    parts = flat.split([weight.numel() for weight in weights])
    return [part.view(weight.shape) for part, weight in zip(parts, weights, strict=True)]


def _writing_column(learned: LearnedState) -> torch.Tensor:
    """Weights `[4H]` that write the learned state: i = 1, f = 0, g = tanh(cell), o = s(output)."""
    opened = torch.full_like(learned.cell, SATURATION)
    return torch.cat([opened, -opened, learned.cell, learned.output])


def _without_seeded_gates(bias: torch.Tensor) -> torch.Tensor:
    """Return the bias `[4H]` with zeros for the cell and output gates."""
    kept, seeded = bias.chunk(2)
    return torch.cat([kept, torch.zeros_like(seeded)])
