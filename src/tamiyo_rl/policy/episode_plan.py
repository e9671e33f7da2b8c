"""Where the episodes of a batch begin, and how one fused LSTM call runs them."""

from __future__ import annotations

import reprlib
from array import array
from itertools import pairwise
from typing import NamedTuple

import torch

from tamiyo_rl.policy.packing import Packing, Pieces, best_packing

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

    @property
    def continued_rows(self) -> list[int]:
        """Rows that continue an episode at step 0: their state is that of the rollout."""
        return (~self.episode_starts[:, 0]).nonzero().flatten().tolist()

    def rows(self, index: torch.Tensor) -> EpisodePlan:
        """Return the plan of some rows of the batch.

        Args:
            index: `[b]` int64, the rows.

        Raises:
            ValueError: If it is not such a tensor, or holds no row or one that there is not.
        """
        expected = f"index: expected an int64 tensor [b] of rows, of {self.shape[0]}, got"
        if not isinstance(index, torch.Tensor) or index.dtype != torch.int64 or index.dim() != 1:
            raise ValueError(f"{expected} {reprlib.repr(index)}.")
        try:
            return EpisodePlan(self.episode_starts[index.cpu()])
        except (IndexError, NotImplementedError) as error:  # out of range, or on `meta`
            raise ValueError(f"{expected} {error}.") from error

    @torch.inference_mode(mode=False)
    def first(self, device: torch.device) -> torch.Tensor:
        """Return `[B, 1]` bool, true where a row starts an episode at step 0."""
        return _upload(self.episode_starts[:, :1].clone(), device)

    @torch.inference_mode(mode=False)
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
        return _lay_out(pieces, packing, device)

    def _pieces(self) -> Pieces:
        """Cut each row at its episode starts."""
        batch, time = self.shape
        cuts = self.episode_starts.clone()
        cuts[:, 0] = True  # a row begins a piece, whether or not an episode begins there
        begin = cuts.flatten().nonzero().flatten().tolist()
        length = [after - before for before, after in pairwise([*begin, batch * time])]
        ends = cuts.sum(dim=1).cumsum(dim=0).tolist()
        return Pieces(begin, length, [0, *ends[:-1]], [end - 1 for end in ends])


def _is_bool_matrix(value: object) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_nested
        and value.dtype == torch.bool
        and value.dim() == 2  # noqa: PLR2004 - [B, T]
        and value.numel() > 0
    )


class Layout(NamedTuple):
    """A batch packed into lanes, time-major: place = step * lanes + lane.

    Attributes:
        lanes: Number of lanes; lane b begins with the first piece of row b.
        real: `[B * T]` int64, the place of each step of the batch, row by row.
        kind: `[places]` uint8: 0 for a step of the batch, 1 for a separator that zeroes the state,
            2 for one right before a piece, which writes a learned state.
        fresh: `[lanes]` bool, true where a lane begins with a piece that starts an episode.
        last: `[B]` int64, the lane at whose end each row ends.
    """

    lanes: int
    real: torch.Tensor
    kind: torch.Tensor
    fresh: torch.Tensor
    last: torch.Tensor


def _lay_out(pieces: Pieces, packing: Packing, device: torch.device) -> Layout:
    lanes = packing.lanes
    starts = list(zip(packing.lane, packing.step, strict=True))
    place = [step * lanes + lane for lane, step in starts]
    # The steps of a piece lie `lanes` places apart, from its first place on.
    origin = [p - begin * lanes for p, begin in zip(place, pieces.begin, strict=True)]
    real = _as_index(origin).repeat_interleave(_as_index(pieces.length))
    real.add_(torch.arange(len(real), device="cpu"), alpha=lanes)
    kind = torch.ones(packing.steps * lanes, dtype=torch.uint8, device="cpu")
    kind[_as_index([p - lanes for p in place if p >= lanes])] = 2
    kind.index_fill_(0, real, 0)
    fresh = torch.zeros(lanes, dtype=torch.bool, device="cpu")
    fresh[_as_index([lane for lane, step in starts if not step])] = True
    last = _as_index([packing.lane[piece] for piece in pieces.lasts])
    return Layout(lanes, *(_upload(tensor, device) for tensor in (real, kind, fresh, last)))


def _as_index(values: list[int]) -> torch.Tensor:
    """Make an int64 tensor, several times faster than `torch.tensor` reads a list."""
    if not values:
        return torch.zeros(0, dtype=torch.int64, device="cpu")
    return torch.frombuffer(array("q", values), dtype=torch.int64)


def _upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to the device without waiting for it: CUDA needs page-locked memory for that."""
    source = tensor.pin_memory() if device.type == "cuda" else tensor
    return source.to(device, non_blocking=True)
