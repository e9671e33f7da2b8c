"""Where each step of a batch lies in the lanes of one fused LSTM call, as tensors."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import nn

from tamiyo_rl.policy.packing import Packing, Pieces


class Layout(NamedTuple):
    """A batch packed into lanes, time-major: place = step * lanes + lane.

    Attributes:
        lanes: Number of lanes; lane b begins with the first piece of row b.
        places: `[B * T]` int64, the place of each step of the batch, row by row.
        steps: `[places]` int64, the step at each place; `B * T` at a separator.
        kinds: `[places, 1]` float32, 1 at every separator; where a state is learned `[places, 3]`,
            one-hot: a step, a separator that zeroes the state, one that writes the learned state.
        last: `[B]` int64, the lane at whose end each row ends.
        fresh: `[lanes]` bool, true where a lane begins with a piece that starts an episode; None
            where no state is learned.
    """

    lanes: int
    places: torch.Tensor
    steps: torch.Tensor
    kinds: torch.Tensor
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
    """Lay out several batches in as many tensor operations as one takes.

    Args:
        batches: What to lay out.
        device: Where the tensors go.
        learned: Whether a state is learned.
    """
    lanes = [packing.lanes for _, packing in batches]
    sizes = [sum(pieces.length) for pieces, _ in batches]
    lengths = [packing.steps * packing.lanes for _, packing in batches]
    offsets = [0, *accumulate(lengths[:-1])]  # the batches lie one behind the other
    places = _places(batches, offsets)
    kinds = torch.ones(sum(lengths), dtype=torch.int64, device="cpu").index_fill_(0, places, 0)
    kinds = _writing(kinds, batches, offsets) if learned else kinds.unsqueeze(1)
    last = as_index([packing.lane[i] for pieces, packing in batches for i in pieces.lasts])
    columns = (
        (places - _repeated(offsets, sizes), sizes),
        (_steps(places, sizes, lengths), lengths),
        (kinds.float(), lengths),
        (last, [len(pieces.lasts) for pieces, _ in batches]),
    )
    parts = [torch.split(upload(tensor, device), into) for tensor, into in columns]
    fresh = _fresh(batches, device) if learned else [None] * len(batches)
    return list(map(Layout, lanes, *parts, fresh))


def _places(batches: Sequence[Packed], offsets: Sequence[int]) -> torch.Tensor:
    """Return the place of each step."""
    origin, stride, length, passed = [], [], [], 0
    for (pieces, packing), offset in zip(batches, offsets, strict=True):
        # The steps of a piece lie `lanes` places apart, from its first place on.
        lanes, before = packing.lanes, offset - passed * packing.lanes
        spots = zip(packing.lane, packing.step, pieces.begin, strict=True)
        origin += [before + lane + (step - begin) * lanes for lane, step, begin in spots]
        stride += [lanes] * len(pieces.length)
        length += pieces.length
        passed += sum(pieces.length)
    steps = torch.arange(passed, device="cpu")
    return steps.mul_(_repeated(stride, length)).add_(_repeated(origin, length))


def _steps(places: torch.Tensor, sizes: list[int], lengths: list[int]) -> torch.Tensor:
    """Return the step at each place: of its batch the step behind the last, at a separator."""
    steps = torch.arange(len(places), device="cpu")
    steps -= _repeated([0, *accumulate(sizes[:-1])], sizes)
    return _repeated(sizes, lengths).index_copy_(0, places, steps)


def _writing(kinds: torch.Tensor, batches: Sequence[Packed], offsets: list[int]) -> torch.Tensor:
    """Let the separators right before a piece write the learned state, and make kinds one-hot."""
    writing = [
        offset + (step - 1) * packing.lanes + lane
        for (_, packing), offset in zip(batches, offsets, strict=True)
        for lane, step in zip(packing.lane, packing.step, strict=True)
        if step
    ]
    return nn.functional.one_hot(kinds.index_fill_(0, as_index(writing), 2), 3)


def _fresh(batches: Sequence[Packed], device: torch.device) -> Iterable[torch.Tensor]:
    """Return, for each batch, which lanes begin with a piece."""
    fresh: list[bool] = []
    for _, packing in batches:
        spots = zip(packing.lane, packing.step, strict=True)
        begun = {lane for lane, step in spots if not step}
        fresh += [lane in begun for lane in range(packing.lanes)]
    lanes = [packing.lanes for _, packing in batches]
    return torch.split(upload(as_bool(fresh), device), lanes)


def _repeated(values: list[int], times: list[int]) -> torch.Tensor:
    return as_index(values).repeat_interleave(as_index(times))


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
