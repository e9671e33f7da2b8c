"""Where the separator steps of a batch of sequences go."""

from __future__ import annotations

from typing import NamedTuple

import torch


class EpisodePlan:
    """The plan of the separator steps that reset an LSTM inside one fused call.

    It depends on `episode_starts` alone. Make it once, on the CPU, pass it in place of
    `episode_starts`, and no training step waits for the device to say where episodes begin.

    Args:
        episode_starts: `[B, T]` bool: true where a step is the first of its episode.

    Examples:
        ```python
        import torch
        from tamiyo_rl import EpisodePlan

        starts = torch.tensor([[True, False, False], [False, True, True]])
        plan = EpisodePlan(starts)
        print(plan.shape, plan.most_resets, plan.rows(torch.tensor([0])).most_resets)
        ```

        ```text
        (2, 3) 2 0
        ```
    """

    @torch.inference_mode(mode=False)
    def __init__(self, episode_starts: torch.Tensor) -> None:
        if episode_starts.is_meta:  # there are no values to read
            episode_starts = torch.zeros(episode_starts.shape, dtype=torch.bool, device="cpu")
        self.episode_starts = episode_starts.to("cpu", copy=True)
        resets = self.episode_starts.long()
        resets[:, :1] = 0  # the state before step 0 is replaced, which takes no separator
        self._resets = resets.cumsum(dim=1)
        self.most_resets = int(self._resets[:, -1].max())

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
        """Lay the batch out with a separator at each reset, or two for a learned initial state.

        Args:
            device: Where the tensors of the layout go.
            learned: Whether a reset also writes a state, which takes a second separator.
        """
        batch, time = self.shape
        separators = 2 if learned else 1
        steps = time + separators * self.most_resets
        place = torch.arange(time, device="cpu") + separators * self._resets
        real = place * batch + torch.arange(batch, device="cpu")[:, None]
        hold = (torch.arange(steps, device="cpu")[:, None] > place[:, -1]).flatten()
        write = self._before_inner_starts(real, hold) if learned else torch.zeros_like(hold)
        zero = ~(hold | write)
        zero[real.flatten()] = False
        kinds = torch.stack([zero, hold, write], dim=1)
        return Layout(steps, _upload(real.flatten(), device), _upload(kinds, device))

    def _before_inner_starts(self, real: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Mark the place right before each episode start that is not at step 0."""
        batch, _ = self.shape
        marked = torch.zeros_like(like)
        marked[real[:, 1:][self.episode_starts[:, 1:]] - batch] = True
        return marked


class Layout(NamedTuple):
    """A batch laid out with separator steps, time-major: place = step * B + row.

    Attributes:
        steps: Steps of the longest row, separators included.
        real: `[B * T]` int64, the place of each real step, row by row.
        kinds: `[steps * B, 3]` bool, true where a step zeroes, holds or writes the state.
    """

    steps: int
    real: torch.Tensor
    kinds: torch.Tensor


def _upload(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to the device without waiting for it: CUDA needs page-locked memory for that."""
    source = tensor.pin_memory() if device.type == "cuda" else tensor
    return source.to(device, non_blocking=True)
