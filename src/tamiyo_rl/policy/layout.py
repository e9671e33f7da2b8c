"""Where each step of a batch lies in the lanes of one fused LSTM call, as tensors."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch

from tamiyo_rl.policy.packing import Packing, Pieces


class Layout(NamedTuple):
    """A batch packed into lanes, time-major: place = step * lanes + lane.

    Attributes:
        lanes: Number of lanes; lane b begins with the first piece of row b.
        real: `[B * T]` int64, the place of each step of the batch, row by row.
        kind: `[places]` uint8: 0 for a step of the batch, 1 for a separator that zeroes the state,
            2 for one right before a piece, which writes a learned state.
        last: `[B]` int64, the lane at whose end each row ends.
        fresh: `[lanes]` bool, true where a lane begins with a piece that starts an episode; None
            where no state is learned.
    """

    lanes: int
    real: torch.Tensor
    kind: torch.Tensor
    last: torch.Tensor
    fresh: torch.Tensor | None


class Packed(NamedTuple):
    """A batch of which it is decided where its pieces go.

    Attributes:
        pieces: The rows, cut where episodes start.
        packing: Lane and step of each piece.
    """

    pieces: Pieces
    packing: Packing


def lay_out(batches: Sequence[Packed], device: torch.device, *, learned: bool) -> list[Layout]:
    """Lay out several batches in the tensor operations, and the copies to the device, of one.

    Args:
        batches: What to lay out.
        device: Where the tensors go.
        learned: Whether a state is learned.
    """
    steps = [sum(pieces.length) for pieces, _ in batches]
    places = [packing.steps * packing.lanes for _, packing in batches]
    offsets = [0, *accumulate(places[:-1])]
    real = _places(batches, offsets)
    kind = torch.ones(sum(places), dtype=torch.uint8, device="cpu")
    if learned:
        kind.index_fill_(0, _before_pieces(batches, offsets), 2)
    kind.index_fill_(0, real, 0)
    real -= as_index(offsets).repeat_interleave(as_index(steps))
    last = as_index([packing.lane[i] for pieces, packing in batches for i in pieces.lasts])
    return list(
        map(
            Layout,
            [packing.lanes for _, packing in batches],
            upload(real, device).split(steps),
            upload(kind, device).split(places),
            upload(last, device).split([len(pieces.lasts) for pieces, _ in batches]),
            _fresh(batches, device) if learned else [None] * len(batches),
        )
    )


def _places(batches: Sequence[Packed], offsets: Sequence[int]) -> torch.Tensor:
    """Return the place of each step, the batches lying one behind the other."""
    origin, stride, length, passed = [], [], [], 0
    for (pieces, packing), offset in zip(batches, offsets, strict=True):
        # The steps of a piece lie `lanes` places apart, from its first place on.
        lanes, before = packing.lanes, offset - passed * packing.lanes
        spots = zip(packing.lane, packing.step, pieces.begin, strict=True)
        origin += [before + lane + (step - begin) * lanes for lane, step, begin in spots]
        stride += [lanes] * len(pieces.length)
        length += pieces.length
        passed += sum(pieces.length)
    times = as_index(length)
    origins, strides = (as_index(values).repeat_interleave(times) for values in (origin, stride))
    return torch.arange(passed, device="cpu").mul_(strides).add_(origins)


def _before_pieces(batches: Sequence[Packed], offsets: Sequence[int]) -> torch.Tensor:
    """Return the places right before the pieces that do not begin a lane."""
    return as_index(
        [
            offset + (step - 1) * packing.lanes + lane
            for (_, packing), offset in zip(batches, offsets, strict=True)
            for lane, step in zip(packing.lane, packing.step, strict=True)
            if step
        ]
    )


def _fresh(batches: Sequence[Packed], device: torch.device) -> Iterable[torch.Tensor]:
    """Return, for each batch, which lanes begin with a piece that starts an episode."""
    fresh: list[bool] = []
    for _, packing in batches:
        spots = zip(packing.lane, packing.step, strict=True)
        begun = {lane for lane, step in spots if not step}
        fresh += [lane in begun for lane in range(packing.lanes)]
    lanes = [packing.lanes for _, packing in batches]
    return torch.split(upload(as_bool(fresh), device), lanes)


def as_index(values: list[int]) -> torch.Tensor:
    """Make an int64 tensor, several times faster than `torch.tensor` reads a list."""
    if not values:
        return torch.zeros(0, dtype=torch.int64, device="cpu")
    return torch.frombuffer(array("q", values), dtype=torch.int64)


def as_bool(values: list[bool]) -> torch.Tensor:
    """Make a bool tensor of at least one value."""
    return torch.frombuffer(bytearray(values), dtype=torch.bool)


def upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to the device without waiting for it: CUDA needs page-locked memory for that."""
    source = tensor.pin_memory() if device.type == "cuda" else tensor
    return source.to(device, non_blocking=True)
