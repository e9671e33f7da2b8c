"""Which lane and step each piece of an episode takes in one fused LSTM call."""

from __future__ import annotations

import heapq
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


def best_packing(pieces: Pieces, *, separators: int, step_cost: float) -> Packing:
    """Pack the pieces anew, or keep the rows as they are, whichever takes less time.

    The time of a call is taken as `steps * (step_cost + lanes)`.

    Args:
        pieces: What to place.
        separators: Steps kept free before each piece that does not begin a lane.
        step_cost: Time of a step with no lanes, in times of one lane.
    """

    def cost(steps: int, lanes: int) -> float:
        return steps * (step_cost + lanes)

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
    its state is returned. The others go, longest first, into the emptiest lane; where that one is
    full, every lane is, and a new one is opened.

    Args:
        pieces: What to place.
        separators: Steps kept free before each piece that does not begin a lane.
    """
    length, steps = pieces.length, max(pieces.length)
    lane, step = [0] * len(length), [0] * len(length)
    front = [length[first] for first in pieces.firsts]  # where the beginning of a lane is full
    for row, first in enumerate(pieces.firsts):
        lane[first] = row

    free = [(used, row) for row, used in enumerate(front)]
    heapq.heapify(free)
    ended: list[tuple[int, int]] = []
    for i in _longest_first(set(pieces.lasts) - set(pieces.firsts), length):
        used, where = _emptiest(free, front, steps - length[i], separators)
        lane[i], step[i] = where, steps - length[i]
        ended.append((used + separators + length[i], where))

    heap = free + ended
    heapq.heapify(heap)
    between = set(range(len(length))).difference(pieces.firsts, pieces.lasts)
    for i in _longest_first(between, length):
        used, where = _emptiest(heap, front, steps - length[i], separators)
        lane[i], step[i] = where, front[where] + separators
        front[where] = step[i] + length[i]
        heapq.heappush(heap, (used + separators + length[i], where))
    return Packing(lane, step, len(front), steps)


def _longest_first(pieces: set[int], length: list[int]) -> list[int]:
    return sorted(pieces, key=length.__getitem__, reverse=True)


def _emptiest(
    heap: list[tuple[int, int]], front: list[int], room: int, separators: int
) -> tuple[int, int]:
    """Take the emptiest lane from the heap if it leaves room, else open a new one."""
    if heap and heap[0][0] + separators <= room:
        return heapq.heappop(heap)
    front.append(-separators)  # nothing has to be reset before its first piece
    return -separators, len(front) - 1
