"""Places of the steps of a batch in the lanes of one fused recurrent call."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import nn


class Pieces(NamedTuple):
    """The rows of a batch, cut where episodes start: consecutive steps of one episode.

    Attributes:
        begin: Index of the first step of each piece in the flattened batch.
        length: Steps of each piece.
        firsts: The piece with which each row begins: its state is given.
        lasts: The piece with which each row ends: its state is returned.
    """

    begin: list[int]
    length: list[int]
    firsts: list[int]
    lasts: list[int]


class Packing(NamedTuple):
    """The places of the pieces.

    Attributes:
        lane: Lane of each piece; lane b begins with the first piece of row b.
        step: Step of its lane at which each piece begins.
        lanes: Number of lanes.
        steps: Length of the lanes.
    """

    lane: list[int]
    step: list[int]
    lanes: int
    steps: int


def best_packing(pieces: Pieces, *, separators: int, step_time: Callable[[int], float]) -> Packing:
    """Pack the pieces anew, or keep the rows as they are, whichever takes less time.

    Args:
        pieces: The pieces to place.
        separators: Steps kept free before each piece that does not begin a lane.
        step_time: Time of a step of so many lanes.
    """

    def cost(steps: int, lanes: int) -> float:
        return steps * step_time(lanes)

    if set(pieces.firsts) & set(pieces.lasts):
        return pack(pieces, separators=separators)  # a row of one piece fills its lane
    kept = keep_rows(pieces, separators=separators)
    steps = max(pieces.length)
    lanes = fewest_lanes(pieces, separators=separators)
    if cost(kept.steps, kept.lanes) <= cost(steps, lanes):
        return kept
    packed = pack(pieces, separators=separators)
    return min(kept, packed, key=lambda packing: cost(packing.steps, packing.lanes))


def fewest_lanes(pieces: Pieces, *, separators: int) -> int:
    """Return a number of lanes below which `pack` cannot go."""
    needed = sum(pieces.length) + separators * len(pieces.length)
    return max(len(pieces.firsts), -(-needed // (max(pieces.length) + separators)))


def keep_rows(pieces: Pieces, *, separators: int) -> Packing:
    """Place each row in a lane of its own, its last piece at the end.

    Args:
        pieces: The pieces to place; each row has at least two.
        separators: Steps kept free before each piece that does not begin a lane.
    """
    lanes: list[int] = []
    steps: list[int] = []
    for row, (first, last) in enumerate(zip(pieces.firsts, pieces.lasts, strict=True)):
        step = 0
        for length in pieces.length[first : last + 1]:
            lanes.append(row)
            steps.append(step)
            step += length + separators
    total = max(steps[last] + pieces.length[last] for last in pieces.lasts)
    for last in pieces.lasts:
        steps[last] = total - pieces.length[last]
    return Packing(lanes, steps, len(pieces.firsts), total)


def pack(pieces: Pieces, *, separators: int) -> Packing:
    """Place the pieces in lanes as long as the longest of them.

    A row's first piece begins a lane, where its state is given. A row's last piece ends a lane,
    where its state is returned. The other pieces go, longest first, into the fullest lane with
    room for them (best fit decreasing: Johnson 1973, Near-optimal bin packing algorithms). If no
    lane has room, a new lane is opened.

    Args:
        pieces: The pieces to place.
        separators: Steps kept free before each piece that does not begin a lane.
    """
    length = pieces.length
    steps = max(length)
    lane = [0] * len(length)
    step = [0] * len(length)
    front = [length[first] for first in pieces.firsts]  # where the beginning of a lane is full
    for row, first in enumerate(pieces.firsts):
        lane[first] = row

    rooms = sorted((steps - used, row) for row, used in enumerate(front))
    ended: list[tuple[int, int]] = []
    for piece in _longest_first(set(pieces.lasts) - set(pieces.firsts), length):
        size = length[piece] + separators
        room, lane[piece] = _take_fullest(rooms, size) or _open(front, steps, separators)
        step[piece] = steps - length[piece]
        ended.append((room - size, lane[piece]))

    rooms = sorted(rooms + ended)
    between = set(range(len(length))).difference(pieces.firsts, pieces.lasts)
    for piece in _longest_first(between, length):
        size = length[piece] + separators
        room, lane[piece] = _take_fullest(rooms, size) or _open(front, steps, separators)
        step[piece] = front[lane[piece]] + separators
        front[lane[piece]] += size
        insort(rooms, (room - size, lane[piece]))
    return Packing(lane, step, len(front), steps)


def _longest_first(pieces: set[int], length: list[int]) -> list[int]:
    return sorted(pieces, key=length.__getitem__, reverse=True)


def _take_fullest(rooms: list[tuple[int, int]], size: int) -> tuple[int, int] | None:
    """Take the lane with the least sufficient room out of the sorted `rooms`."""
    at = bisect_left(rooms, (size,))
    return rooms.pop(at) if at < len(rooms) else None


def _open(front: list[int], steps: int, separators: int) -> tuple[int, int]:
    """Open a lane, and return its room and number."""
    front.append(-separators)  # nothing has to be reset before its first piece
    return steps + separators, len(front) - 1


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
    """A batch whose pieces have been placed.

    Attributes:
        pieces: The rows, cut where episodes start.
        packing: Lane and step of each piece.
    """

    pieces: Pieces
    packing: Packing


def lay_out(batches: Sequence[Packed], device: torch.device, *, learned: bool) -> list[Layout]:
    """Lay out several batches in as many tensor operations as one batch takes.

    Args:
        batches: The batches to lay out.
        device: Device of the layouts.
        learned: Whether a state is learned.
    """
    lanes = [packing.lanes for _, packing in batches]
    sizes = [sum(pieces.length) for pieces, _ in batches]
    lengths = [packing.steps * packing.lanes for _, packing in batches]
    offsets = [0, *accumulate(lengths[:-1])]  # each batch lies behind the one before
    places = _places(batches, offsets)
    kinds = torch.ones(sum(lengths), dtype=torch.int64, device="cpu").index_fill_(0, places, 0)
    kinds = _writing(kinds, batches, offsets) if learned else kinds.unsqueeze(1)
    last = as_index([packing.lane[piece] for pieces, packing in batches for piece in pieces.lasts])
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
    origin: list[int] = []
    stride: list[int] = []
    length: list[int] = []
    passed = 0
    for (pieces, packing), offset in zip(batches, offsets, strict=True):
        # The steps of a piece lie `lanes` places apart, from its first place on.
        lanes = packing.lanes
        before = offset - passed * lanes
        placed = zip(packing.lane, packing.step, pieces.begin, strict=True)
        origin += [before + lane + (step - begin) * lanes for lane, step, begin in placed]
        stride += [lanes] * len(pieces.length)
        length += pieces.length
        passed += sum(pieces.length)
    steps = torch.arange(passed, device="cpu")
    return steps.mul_(_repeated(stride, length)).add_(_repeated(origin, length))


def _steps(places: torch.Tensor, sizes: list[int], lengths: list[int]) -> torch.Tensor:
    """Return the step at each place; separators get the index one past the last step."""
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
    """Return the lanes of each batch that begin with a piece."""
    fresh: list[bool] = []
    for _, packing in batches:
        placed = zip(packing.lane, packing.step, strict=True)
        begun = {lane for lane, step in placed if not step}
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
