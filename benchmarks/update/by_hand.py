"""The limit, `nn.LSTM` that ignores resets, and the three ways to reset it by hand."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from benchmarks.workload import (
    ACTIONS,
    EPOCHS,
    FEATURES,
    HIDDEN,
    LEARNING_RATE,
    Workload,
    categorical,
    descend,
    ppo_loss,
)


class RawLSTM:
    """`nn.LSTM` without resets, and two linear heads: the limit."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.policy, self.value = nn.Linear(HIDDEN, ACTIONS), nn.Linear(HIDDEN, 1)
        modules = nn.ModuleList([self.lstm, self.policy, self.value])
        self.optimizer = torch.optim.Adam(modules.parameters(), lr=LEARNING_RATE)

    def __call__(self) -> None:
        """Make one update."""
        for _ in range(EPOCHS):
            for rows in self.workload.minibatches():
                self.minibatch(rows)

    def minibatch(self, rows: torch.Tensor) -> None:
        """Train on some rows."""
        outputs = self.outputs(self.workload.features[rows], self.workload.starts[rows])
        log_prob, entropy = categorical(self.policy(outputs), self.workload.actions[rows])
        value = self.value(outputs).squeeze(-1)
        descend(self.optimizer, ppo_loss(log_prob, entropy, value, self.workload, rows))

    def outputs(self, features: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        """Run the LSTM over the rows."""
        zeros = features.new_zeros(1, features.shape[0], HIDDEN)
        outputs: torch.Tensor = self.lstm(features, (zeros, zeros))[0]
        return outputs


class StepLoop(RawLSTM):
    """A loop over time that multiplies the state by `1 - start`, as CleanRL does."""

    def outputs(self, features: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        """Run the LSTM one step at a time."""
        h = c = features.new_zeros(1, features.shape[0], HIDDEN)
        outputs = []
        for step in range(features.shape[1]):
            keep = (~starts[:, step]).float()[None, :, None]
            output, (h, c) = self.lstm(features[:, step : step + 1], (h * keep, c * keep))
            outputs.append(output)
        return torch.cat(outputs, dim=1)


class SplitAndPad(RawLSTM):
    """Cut at each start, pad the pieces to the longest, one call, and undo it."""

    def outputs(self, features: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        """Run the LSTM over the padded pieces."""
        lengths = piece_lengths(starts)
        padded = pad_sequence(list(features.flatten(0, 1).split(lengths)), batch_first=True)
        outputs, _ = self.lstm(padded)
        valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        kept: torch.Tensor = outputs[valid].view(*starts.shape, HIDDEN)
        return kept


class Packed(RawLSTM):
    """Cut at each start, and run the pieces as a `PackedSequence`."""

    def outputs(self, features: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        """Run the LSTM over the packed pieces."""
        lengths = piece_lengths(starts)
        padded = pad_sequence(list(features.flatten(0, 1).split(lengths)), batch_first=True)
        packed = pack_padded_sequence(
            padded, torch.tensor(lengths), batch_first=True, enforce_sorted=False
        )
        outputs, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        kept: torch.Tensor = outputs[valid].view(*starts.shape, HIDDEN)
        return kept


def piece_lengths(starts: torch.Tensor) -> list[int]:
    """Return the length of each piece of the flattened batch, cut at row ends and starts."""
    cuts = starts.clone()
    cuts[:, 0] = True
    begins = cuts.flatten().nonzero().flatten()
    ends = torch.cat([begins[1:], torch.tensor([starts.numel()])])
    lengths: list[int] = (ends - begins).tolist()
    return lengths
