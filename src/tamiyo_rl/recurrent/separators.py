"""Separator steps, which set a recurrent state exactly: their places and their weights.

A separator has no features. One more input column for each kind of step drives the gates instead:
to exactly 0 at a separator that zeroes the state (c = 0, h = 0), and to the learned values at one
that writes a learned initial state over the zeroed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from tamiyo_rl.recurrent.packing import Layout

# Drives a gate to exactly 0 or 1 whatever finite weights add to it. It is far below the largest
# number of the type: a cast would round that to infinity, and 0 times infinity is NaN.
SATURATION = 2.0**100
HALF_SATURATION = 2.0**15
# What the recurrent weights and biases may add to a gate in float16: sigmoid(-32) is 0 there.
HALF_REACH = HALF_SATURATION - 32


class LearnedState(NamedTuple):
    """The learned initial state of one layer, `[hidden]` each.

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


def saturation(weights: Sequence[torch.Tensor], dtype: torch.dtype) -> float:
    """Return a pre-activation that closes a gate exactly in a kernel that computes in `dtype`.

    Args:
        weights: `[w_ih, w_hh, b_ih, b_hh]`, or without the biases.
        dtype: Type of the kernel. Float16 has no number that outweighs every weight, so there this
            function reads the weights, which waits for the device.

    Raises:
        ValueError: If the type is float16, and the weights are too large for exact resets in it.
    """
    if dtype != torch.float16:
        return SATURATION
    if not weights[0].is_meta:
        _require_reach(*(weight.detach().abs() for weight in weights[1:]))
    return HALF_SATURATION


def augmented_weights(
    weights: Sequence[torch.Tensor], learned: LearnedState | None, closing: float
) -> list[torch.Tensor]:
    """Return the weights of a layer with the input weights of the kind columns.

    Args:
        weights: `[w_ih, w_hh, b_ih, b_hh]`, or without the biases.
        learned: The learned initial state of the layer; None for zeros.
        closing: A pre-activation that opens a gate exactly, and whose negative closes it.
    """
    w_ih, w_hh, *biases = weights
    b_ih, b_hh = biases or (w_hh.new_zeros(w_hh.shape[0]),) * 2
    if learned is None:
        return [nn.functional.pad(w_ih, (0, 1), value=-closing), w_hh, b_ih, b_hh]
    # The cell and output gates take their bias from the column of the real steps, so that
    # nothing has to cancel it where the state is written: in TF32 it would not cancel.
    seeded = b_ih + b_hh
    real = seeded - _without_seeded_gates(seeded)
    zeroing = torch.full_like(seeded, -closing)
    columns = torch.stack([real, zeroing, _writing_column(learned, closing)], dim=1)
    kept = [_without_seeded_gates(bias) for bias in (b_ih, b_hh)]
    return [torch.cat([w_ih, columns], dim=1), w_hh, *kept]


def augmented_gru_weights(
    weights: Sequence[torch.Tensor], learned: torch.Tensor | None, closing: float
) -> list[torch.Tensor]:
    """Return the weights of a GRU layer with the input weights of the kind columns.

    The columns are one-hot: a step, a separator that zeroes the state, and where a state is
    learned one that writes it. Both kinds of separators close the reset and update gates, which
    leaves the candidate. It takes its input bias from the column of the steps, so that nothing has
    to cancel it at a separator: in TF32 it would not cancel.

    Args:
        weights: `[w_ih, w_hh, b_ih, b_hh]`, or without the biases.
        learned: What the tanh of the candidate is given for the learned state, `[hidden]`; None
            for zeros.
        closing: A pre-activation whose negative closes a gate exactly.
    """
    w_ih, w_hh, *biases = weights
    b_ih, b_hh = biases or (w_hh.new_zeros(w_hh.shape[0]),) * 2
    reset, update, candidate = b_ih.chunk(3)
    nothing = torch.zeros_like(candidate)
    gates = nothing.new_full((2 * len(nothing),), -closing)
    columns = [torch.cat([nothing, nothing, candidate]), torch.cat([gates, nothing])]
    if learned is not None:
        columns.append(torch.cat([gates, learned]))
    kept = torch.cat([reset, update, nothing])
    return [torch.cat([w_ih, torch.stack(columns, dim=1)], dim=1), w_hh, kept, b_hh]


def in_one_buffer(weights: list[torch.Tensor]) -> list[torch.Tensor]:
    """Copy the weights into one flat buffer, or else cuDNN warns and copies them at each call.

    Args:
        weights: The weights of one layer.

    Examples:
        ```python
        import torch
        from tamiyo_rl.recurrent.separators import in_one_buffer

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


def _require_reach(w_hh: torch.Tensor, *biases: torch.Tensor) -> None:
    """Refuse weights that outweigh a separator: the entries of a hidden state are in [-1, 1]."""
    reach = float(torch.stack([w_hh.sum(dim=1), *biases]).sum(dim=0).max())
    if reach > HALF_REACH:
        raise ValueError(
            "weight_hh: expected rows whose absolute values and biases sum to at most "
            f"{HALF_REACH:g} in float16, got {reach:g}. Episode resets would not be exact: "
            "compute in bfloat16 or float32."
        )


def _writing_column(learned: LearnedState, opening: float) -> torch.Tensor:
    """Return weights `[4H]` that write the learned state: i = 1, f = 0, g = tanh, o = sigmoid."""
    opened = torch.full_like(learned.cell, opening)
    return torch.cat([opened, -opened, learned.cell, learned.output])


def _without_seeded_gates(bias: torch.Tensor) -> torch.Tensor:
    """Return the bias `[4H]` with zeros for the cell and output gates."""
    kept, seeded = bias.chunk(2)
    return torch.cat([kept, torch.zeros_like(seeded)])
