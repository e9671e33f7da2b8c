"""The plan by which one fused LSTM call runs the episodes of a batch."""

from __future__ import annotations

import copy
import reprlib
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple, Self

import torch
from torch.nn.utils.rnn import pad_sequence

from tamiyo_rl.checks import is_dense
from tamiyo_rl.contract.nesting import TENSORLESS
from tamiyo_rl.recurrent.packing import (
    Layout,
    Packed,
    Pieces,
    as_bool,
    as_index,
    best_packing,
    lay_out,
    upload,
)

Cell = Literal["lstm", "gru"]  # whose kernel runs the plan


class Row(NamedTuple):
    """One row of a batch, cut at its episode starts.

    Attributes:
        starts: Whether an episode starts at step 0.
        lengths: Steps of each piece.
    """

    starts: bool
    lengths: list[int]


class EpisodePlan:
    """The plan by which one fused LSTM call runs the episodes of a batch.

    Each row of `[B, T]` is cut at its episode starts. The pieces are packed into *lanes*, usually
    as long as the longest piece, with separator steps between them that reset the state. The
    plan depends only on `episode_starts`: make it once, on the CPU, pass it in place of
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

    # enforces C7
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
        batch, time = episode_starts.shape
        self._plan_rows(_cut(episode_starts.cpu().flatten(), [time] * batch), time)

    @classmethod
    @torch.inference_mode(mode=False)
    def of_rows(cls, episode_starts: torch.Tensor, lengths: Sequence[int]) -> Self:
        """Plan rows of unequal length, which lie one behind the other, for `EpisodicLSTM.run_rows`.

        The `shape` of such a plan counts the steps of the longest row.

        Args:
            episode_starts: `[N]` bool, of the steps of all rows.
            lengths: Steps of each row, N in all.

        Raises:
            ValueError: If the lengths are not positive, or do not sum to N.

        Examples:
            ```python
            import torch
            from tamiyo_rl import EpisodePlan

            plan = EpisodePlan.of_rows(torch.tensor([True, False, False, True, False]), [3, 2])
            print(plan.shape, plan.continued_rows)
            ```

            ```text
            (2, 3) []
            ```
        """
        if not lengths or min(lengths) < 1 or sum(lengths) != len(episode_starts):
            raise ValueError(
                f"lengths: expected positive numbers that sum to the {len(episode_starts)} steps, "
                f"got {reprlib.repr(lengths)}."
            )
        plan = cls.__new__(cls)
        plan._plan_rows(_cut(episode_starts.cpu(), lengths), max(lengths))
        return plan

    def _plan_rows(self, rows: list[Row], time: int) -> None:
        self._rows = rows
        self._time = time
        self._firsts: dict[torch.device, torch.Tensor] = {}
        self._layouts: dict[tuple[torch.device, bool, Cell], Layout] = {}
        self._together = [self]

    def __getstate__(self) -> dict[str, Any]:
        """Leave tensors made for a device out of copies: other rows need other tensors."""
        return vars(self) | {"_firsts": {}, "_layouts": {}, "_together": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy, which gets a layout of its own."""
        vars(self).update(state, _together=[self])

    @property
    def shape(self) -> tuple[int, int]:
        """Batch and time, `(B, T)`."""
        return len(self._rows), self._time

    @property
    def resets(self) -> int:
        """Number of episode starts after step 0."""
        return sum(len(row.lengths) - 1 for row in self._rows)

    @property
    def continued_rows(self) -> list[int]:
        """Rows that continue an episode at step 0: their state is that of the rollout."""
        return [index for index, row in enumerate(self._rows) if not row.starts]

    @property
    @torch.inference_mode(mode=False)
    def episode_starts(self) -> torch.Tensor:
        """The episode starts, `[B, T]` bool on the CPU; a copy."""
        lengths = [sum(row.lengths) for row in self._rows]
        flat = torch.zeros(sum(lengths), dtype=torch.bool, device="cpu")
        flat[as_index(self._pieces().begin)] = True
        starts = pad_sequence(flat.split(lengths), batch_first=True)
        starts[:, :1] = self.first(starts.device)
        return starts

    def rows(self, index: torch.Tensor) -> EpisodePlan:
        """Return the plan of some rows of the batch, or this plan for all rows in their order.

        Args:
            index: `[b]` int64, the rows.

        Raises:
            ValueError: If it is not an int64 vector of existing rows.
        """
        is_index = isinstance(index, torch.Tensor) and index.dtype == torch.int64
        chosen = index.tolist() if is_index and index.dim() == 1 and not index.is_meta else []
        count = len(self._rows)
        if not chosen or not 0 <= min(chosen) <= max(chosen) < count:
            raise ValueError(
                f"index: expected an int64 tensor [b] of rows from 0 to {count - 1}, got "
                f"{reprlib.repr(index)}."
            )
        if chosen == list(range(count)):
            return self
        some = copy.copy(self)
        some._rows = [self._rows[row] for row in chosen]
        return some

    def split(self, parts: Iterable[torch.Tensor]) -> list[EpisodePlan]:
        """Return the plans of several minibatches, which are laid out together at their first use.

        Planning all minibatches at once is several times faster than planning each of them between
        training steps, when the caches are cold.

        Args:
            parts: `[b]` int64 each, the rows of each minibatch.

        Raises:
            ValueError: If a part is not an int64 vector of existing rows.

        Examples:
            ```python
            import torch
            from tamiyo_rl import EpisodePlan, EpisodicLSTM

            lstm = EpisodicLSTM(input_size=4, hidden_size=8, batch_first=True)
            inputs = torch.randn(6, 9, 4)
            starts = torch.rand(6, 9) < 0.3
            parts = torch.randperm(6).split(2)
            plans = EpisodePlan(starts).split(parts)
            for rows, plan in zip(parts, plans):
                outputs, _ = lstm(inputs[rows], episode_starts=plan)
            print(len(plans), plans[0].shape)
            ```

            ```text
            3 (2, 9)
            ```
        """
        plans = [self.rows(part) for part in parts]
        together = list(dict.fromkeys(plans))
        for plan in together:
            plan._together = together
        return plans

    def first(self, device: torch.device) -> torch.Tensor:
        """Return `[B, 1]` bool, true where a row starts an episode at step 0.

        The tensor is kept for the next call.

        Args:
            device: Device of the tensor.
        """
        if device not in self._firsts:
            self._make_firsts(device)
        return self._firsts[device]

    def layout(self, device: torch.device, *, learned: bool, cell: Cell = "lstm") -> Layout:
        """Pack the pieces into lanes, with a separator before each, or two for a learned state.

        The layout is kept for the next call.

        Args:
            device: Device of the layout.
            learned: Whether a reset also writes a state, which takes a second separator.
            cell: The kernel that runs the lanes.
        """
        if (device, learned, cell) not in self._layouts:
            self._make_layouts(device, learned=learned, cell=cell)
        return self._layouts[device, learned, cell]

    @torch.inference_mode(mode=False)
    def _make_firsts(self, device: torch.device) -> None:
        starts = as_bool([row.starts for plan in self._together for row in plan._rows])
        sizes = [plan.shape[0] for plan in self._together]
        parts = upload(starts.unsqueeze(1), device).split(sizes)
        for plan, first in zip(self._together, parts, strict=True):
            plan._firsts[device] = first

    @torch.inference_mode(mode=False)
    def _make_layouts(self, device: torch.device, *, learned: bool, cell: Cell) -> None:
        plans = [plan for plan in self._together if plan.resets or plan is self]
        packed = [plan._pack(device, learned=learned, cell=cell) for plan in plans]
        for plan, layout in zip(plans, lay_out(packed, device, learned=learned), strict=True):
            plan._layouts[device, learned, cell] = layout

    def _pack(self, device: torch.device, *, learned: bool, cell: Cell) -> Packed:
        step_time = STEP_TIMES_ON_CPU[cell] if device.type == "cpu" else _step_time_elsewhere
        pieces = self._pieces()
        return Packed(
            pieces, best_packing(pieces, separators=2 if learned else 1, step_time=step_time)
        )

    def _pieces(self) -> Pieces:
        """Return the pieces of all rows, one row after the other."""
        length = [steps for row in self._rows for steps in row.lengths]
        begin = [0, *accumulate(length[:-1])]
        ends = list(accumulate(len(row.lengths) for row in self._rows))
        return Pieces(begin, length, [0, *ends[:-1]], [end - 1 for end in ends])


TENSORLESS.add(EpisodePlan)  # its tensors are its own, and ordinary


def _cut(starts: torch.Tensor, lengths: Sequence[int]) -> list[Row]:
    """Cut rows of these lengths at their starts, `[N]`, which lie one behind the other."""
    rows = [0, *accumulate(lengths[:-1])]
    firsts = as_index(rows)
    cuts = starts.clone()
    cuts[firsts] = True  # a row begins a piece, whether or not an episode begins there
    pieces: list[list[int]] = []
    begins_row = set(rows)
    for before, after in pairwise([*cuts.nonzero().flatten().tolist(), len(starts)]):
        if before in begins_row:
            pieces.append([])
        pieces[-1].append(after - before)
    return list(map(Row, starts[firsts].tolist(), pieces))


def _lstm_step_time(lanes: int) -> float:
    """Return the time of one more LSTM step, in units of the time of one more lane.

    Measured with one thread and 128 hidden units: each block of eight lanes, full or not, takes as
    long as one lane more.
    """
    return 1 + lanes + -(-lanes // 8)


def _gru_step_time(lanes: int) -> float:
    """Return the same for the GRU, measured alike: PyTorch's kernel takes several calls a step.

    From 8 to 24, the constant hardly changes the packing.
    """
    return 16 + lanes


STEP_TIMES_ON_CPU: dict[Cell, Callable[[int], float]] = {
    "lstm": _lstm_step_time,
    "gru": _gru_step_time,
}


def _step_time_elsewhere(lanes: int) -> float:
    """Return the same for a device that works on many lanes at once. Assumed, not measured."""
    return 64 + lanes


def _is_bool_matrix(value: object) -> bool:
    return is_dense(value) and value.dtype == torch.bool and value.dim() == 2 and value.numel() > 0
