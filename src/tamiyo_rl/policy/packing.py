"""Which lane and step each piece of an episode takes in one fused LSTM call."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import NamedTuple


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
    """Where the pieces go.

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
        pieces: What to place.
        separators: Steps kept free before each piece that does not begin a lane.
        step_time: Time of a step of so many lanes.
    """

    def cost(steps: int, lanes: int) -> float:
        return steps * step_time(lanes)

    if set(pieces.firsts) & set(pieces.lasts):
        return pack(pieces, separators=separators)  # a row of one piece fills its lane
    kept = keep_rows(pieces, separators=separators)
    steps, lanes = max(pieces.length), fewest_lanes(pieces, separators=separators)
    if cost(kept.steps, kept.lanes) <= cost(steps, lanes):
        return kept
    packed = pack(pieces, separators=separators)
    return min(kept, packed, key=lambda packing: cost(packing.steps, packing.lanes))


def fewest_lanes(pieces: Pieces, *, separators: int) -> int:
    """Return a number of lanes that `pack` cannot go below."""
    needed = sum(pieces.length) + separators * len(pieces.length)
    return max(len(pieces.firsts), -(-needed // (max(pieces.length) + separators)))


def keep_rows(pieces: Pieces, *, separators: int) -> Packing:
    """Place each row in a lane of its own, its last piece at the end.

    Args:
        pieces: What to place; each row has at least two.
        separators: Steps kept free before each piece that does not begin a lane.
    """
    lanes, steps = [], []
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

    A row's first piece begins a lane, where its state is given. A row's last piece ends one, where
    its state is returned. The others go, longest first, into the fullest lane that has room for
    them (best fit decreasing: Johnson 1973, Near-optimal bin packing algorithms); where none has,
    a new one is opened.

    Args:
        pieces: What to place.
        separators: Steps kept free before each piece that does not begin a lane.
    """
    length, steps = pieces.length, max(pieces.length)
    lane, step = [0] * len(length), [0] * len(length)
    front = [length[first] for first in pieces.firsts]  # where the beginning of a lane is full
    for row, first in enumerate(pieces.firsts):
        lane[first] = row

    rooms = sorted((steps - used, row) for row, used in enumerate(front))
    ended: list[tuple[int, int]] = []
    for i in _longest_first(set(pieces.lasts) - set(pieces.firsts), length):
        size = length[i] + separators
        room, lane[i] = _take_fullest(rooms, size) or _open(front, steps, separators)
        step[i] = steps - length[i]
        ended.append((room - size, lane[i]))

    rooms = sorted(rooms + ended)
    between = set(range(len(length))).difference(pieces.firsts, pieces.lasts)
    for i in _longest_first(between, length):
        size = length[i] + separators
        room, lane[i] = _take_fullest(rooms, size) or _open(front, steps, separators)
        step[i] = front[lane[i]] + separators
        front[lane[i]] += size
        insort(rooms, (room - size, lane[i]))
    return Packing(lane, step, len(front), steps)


def _longest_first(pieces: set[int], length: list[int]) -> list[int]:
    return sorted(pieces, key=length.__getitem__, reverse=True)


def _take_fullest(rooms: list[tuple[int, int]], size: int) -> tuple[int, int] | None:
    """Take the lane with the least room that is enough out of `rooms`, which are sorted."""
    at = bisect_left(rooms, (size,))
    return rooms.pop(at) if at < len(rooms) else None


def _open(front: list[int], steps: int, separators: int) -> tuple[int, int]:
    """Open a lane, and return its room and number."""
    front.append(-separators)  # nothing has to be reset before its first piece
    return steps + separators, len(front) - 1
