"""Which lane and step each piece of an episode takes in one fused LSTM call."""

from __future__ import annotations

import heapq
from typing import NamedTuple


class Piece(NamedTuple):
    """Consecutive steps of one row that belong to one episode.

    Attributes:
        begin: Index of the first step in the flattened batch.
        length: Steps.
        is_first: Whether the row begins with it: its state is given.
        is_last: Whether the row ends with it: its state is returned.
    """

    begin: int
    length: int
    is_first: bool
    is_last: bool


class Packing(NamedTuple):
    """Where the pieces go.

    Attributes:
        places: Lane and step of each piece.
        steps: Length of the lanes.
        lanes: Number of lanes.
    """

    places: list[tuple[int, int]]
    steps: int
    lanes: int


def best_packing(pieces: list[Piece], *, separators: int, step_cost: float) -> Packing:
    """Pack the pieces anew, or keep the rows as they are, whichever takes less time.

    The time of a call is taken as `steps * (step_cost + lanes)`.

    Args:
        pieces: What to place.
        separators: Steps kept free before each piece that does not begin a lane.
        step_cost: Time of a step with no lanes, in times of one lane.
    """
    packings = [pack(pieces, max(piece.length for piece in pieces), separators=separators)]
    if not any(piece.is_first and piece.is_last for piece in pieces):
        packings.append(keep_rows(pieces, separators=separators))  # else one fills its lane
    return min(packings, key=lambda packing: packing.steps * (step_cost + packing.lanes))


def keep_rows(pieces: list[Piece], *, separators: int) -> Packing:
    """Place each row in a lane of its own, its last piece at the end.

    Args:
        pieces: What to place, row by row; each row has at least two.
        separators: Steps kept free before each piece that does not begin a lane.
    """
    places, ends, lane, step = [], [], -1, 0
    for piece in pieces:
        lane, step = (lane + 1, 0) if piece.is_first else (lane, step + separators)
        places.append((lane, step))
        step += piece.length
        if piece.is_last:
            ends.append(step)
    steps = max(ends)
    for i, piece in enumerate(pieces):
        if piece.is_last:
            places[i] = places[i][0], steps - piece.length
    return Packing(places, steps, len(ends))


def pack(pieces: list[Piece], steps: int, *, separators: int) -> Packing:
    """Place the pieces in lanes of `steps`.

    A row's first piece begins a lane, where its state is given. A row's last piece ends one, where
    its state is returned. The others go, longest first, into the emptiest lane; where that one is
    full, every lane is, and a new one is opened.

    Args:
        pieces: What to place.
        steps: Length of a lane.
        separators: Steps kept free before each piece that does not begin a lane.
    """
    places = [(0, 0)] * len(pieces)
    firsts = [i for i, piece in enumerate(pieces) if piece.is_first]
    lasts = [i for i, piece in enumerate(pieces) if piece.is_last and not piece.is_first]
    others = [i for i, piece in enumerate(pieces) if not (piece.is_first or piece.is_last)]
    front = [pieces[i].length for i in firsts]
    for lane, i in enumerate(firsts):
        places[i] = lane, 0

    free = [(length, lane) for lane, length in enumerate(front)]
    heapq.heapify(free)
    ended: list[tuple[int, int]] = []
    for i in sorted(lasts, key=lambda i: -pieces[i].length):
        used, lane = _emptiest(free, front, pieces[i].length + separators, steps)
        places[i] = lane, steps - pieces[i].length
        ended.append((used + pieces[i].length + separators, lane))

    heap = free + ended
    heapq.heapify(heap)
    for i in sorted(others, key=lambda i: -pieces[i].length):
        used, lane = _emptiest(heap, front, pieces[i].length + separators, steps)
        step = front[lane] + separators if front[lane] else 0
        places[i], front[lane] = (lane, step), step + pieces[i].length
        heapq.heappush(heap, (used + pieces[i].length + separators, lane))
    return Packing(places, steps, len(front))


def _emptiest(
    heap: list[tuple[int, int]], front: list[int], needed: int, steps: int
) -> tuple[int, int]:
    """Take the emptiest lane from the heap if it has room, else open a new one."""
    if heap and heap[0][0] + needed <= steps:
        return heapq.heappop(heap)
    front.append(0)
    return 0, len(front) - 1
