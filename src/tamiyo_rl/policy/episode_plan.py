"""How the episodes of a batch are packed into the lanes of one fused LSTM call."""

from __future__ import annotations

import heapq
from typing import NamedTuple

import torch

# Time of one LSTM step with no lanes, in times of one lane: measured on a CPU with one thread;
# assumed for other devices, which work on many lanes at once.
LANES_PER_STEP_CPU, LANES_PER_STEP = 2.0, 64.0


class EpisodePlan:
    """The plan by which one fused LSTM call runs the episodes of a batch.

    Each row of `[B, T]` is cut at its episode starts. The pieces are packed into *lanes*, most
    often as long as the longest piece, with separator steps between them that reset the state. The
    plan depends on `episode_starts` alone: make it once, on the CPU, pass it in place of
    `episode_starts`, and no training step waits for the device to say where episodes begin.

    Args:
        episode_starts: `[B, T]` bool: true where a step is the first of its episode.

    Raises:
        ValueError: If `episode_starts` is not a bool tensor of two dimensions.

    Examples:
        ```python
        import torch
        from tamiyo_rl import EpisodePlan

        starts = torch.tensor([[True, False, False], [False, True, True]])
        plan = EpisodePlan(starts)
        print(plan.shape, plan.resets, plan.rows(torch.tensor([0])).resets)
        ```

        ```text
        (2, 3) 2 0
        ```
    """

    @torch.inference_mode(mode=False)
    def __init__(self, episode_starts: torch.Tensor) -> None:
        if not _is_bool_matrix(episode_starts):
            shape, dtype = (getattr(episode_starts, name, None) for name in ("shape", "dtype"))
            raise ValueError(
                "episode_starts: expected a bool tensor [B, T] of at least one step, got "
                f"{type(episode_starts).__name__} of shape {shape and list(shape)} and {dtype}."
            )
        if episode_starts.is_meta:  # there are no values to read
            episode_starts = torch.zeros(episode_starts.shape, dtype=torch.bool, device="cpu")
        self.episode_starts = episode_starts.to("cpu", copy=True)
        self.resets = int(self.episode_starts[:, 1:].sum())

    @property
    def shape(self) -> tuple[int, int]:
        """Batch and time, `(B, T)`."""
        batch, time = self.episode_starts.shape
        return batch, time

    def rows(self, index: torch.Tensor) -> EpisodePlan:
        """Return the plan of some rows of the batch.

        Args:
            index: `[b]` int64, the rows.
        """
        return EpisodePlan(self.episode_starts[index.cpu()])

    def layout(self, device: torch.device, *, learned: bool) -> Layout:
        """Pack the pieces into lanes, with a separator before each, or two for a learned state.

        Args:
            device: Where the tensors of the layout go.
            learned: Whether a reset also writes a state, which takes a second separator.
        """
        pieces = self._pieces()
        packing = best_packing(
            pieces,
            separators=2 if learned else 1,
            step_cost=LANES_PER_STEP_CPU if device.type == "cpu" else LANES_PER_STEP,
        )
        return _lay_out(pieces, packing, self.shape, device)

    def _pieces(self) -> list[Piece]:
        """Cut each row at its episode starts."""
        batch, time = self.shape
        cuts = self.episode_starts.clone()
        cuts[:, 0] = True  # a row begins a piece, whether or not an episode begins there
        begins = cuts.flatten().nonzero().flatten().tolist()
        ends = [*begins[1:], batch * time]
        return [
            Piece(begin, end - begin, begin % time == 0, end % time == 0)
            for begin, end in zip(begins, ends, strict=True)
        ]


def _is_bool_matrix(value: object) -> bool:
    is_matrix = isinstance(value, torch.Tensor) and value.dim() == 2 and value.numel() > 0  # noqa: PLR2004 - [B, T]
    return is_matrix and value.dtype == torch.bool  # type: ignore[attr-defined]


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


class Layout(NamedTuple):
    """A batch packed into lanes, time-major: place = step * lanes + lane.

    Attributes:
        lanes: Number of lanes; lane b begins with the first piece of row b.
        real: `[B * T]` int64, the place of each step of the batch, row by row.
        zero: `[steps * lanes]` bool, true at a separator that zeroes the state.
        write: `[steps * lanes]` bool, true right before a piece that is not at step 0.
        fresh: `[lanes]` bool, true where a lane begins with a piece that starts an episode.
        last: `[B]` int64, the lane at whose end each row ends.
    """

    lanes: int
    real: torch.Tensor
    zero: torch.Tensor
    write: torch.Tensor
    fresh: torch.Tensor
    last: torch.Tensor


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


def _lay_out(
    pieces: list[Piece],
    packing: Packing,
    shape: tuple[int, int],
    device: torch.device,
) -> Layout:
    places, steps, lanes = packing
    lane, step = torch.tensor(places, device="cpu").unbind(1)
    lengths = torch.tensor([piece.length for piece in pieces], device="cpu")
    begins = torch.tensor([piece.begin for piece in pieces], device="cpu")
    offset = torch.arange(shape[0] * shape[1], device="cpu") - begins.repeat_interleave(lengths)
    origin = (step * lanes + lane).repeat_interleave(lengths)
    real = origin + offset * lanes
    zero = torch.ones(steps * lanes, dtype=torch.bool, device="cpu")
    zero[real] = False
    write = torch.zeros_like(zero)
    write[((step - 1) * lanes + lane)[step > 0]] = True
    fresh = torch.zeros(lanes, dtype=torch.bool, device="cpu")
    fresh[lane[step == 0]] = True
    is_last = torch.tensor([piece.is_last for piece in pieces], device="cpu")
    tensors = (real, zero, write, fresh, lane[is_last])
    return Layout(lanes, *(_upload(tensor, device) for tensor in tensors))


def _upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to the device without waiting for it: CUDA needs page-locked memory for that."""
    source = tensor.pin_memory() if device.type == "cuda" else tensor
    return source.to(device, non_blocking=True)
