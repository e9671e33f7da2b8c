"""`nn.LSTM` without resets, which is the limit, and the three ways to reset it by hand."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from benchmarks.speed import workload as w


class RawLSTM:
    """`nn.LSTM` without resets, and two linear heads: the limit."""

    def __init__(self, workload: w.Workload) -> None:
        self.workload = workload
        self.lstm = nn.LSTM(w.FEATURES, w.HIDDEN, batch_first=True)
        self.policy = nn.Linear(w.HIDDEN, w.ACTIONS)
        self.value = nn.Linear(w.HIDDEN, 1)
        modules = nn.ModuleList([self.lstm, self.policy, self.value])
        self.optimizer = torch.optim.Adam(modules.parameters(), lr=w.LEARNING_RATE)

    def __call__(self) -> None:
        """Make one update."""
        for _ in range(w.EPOCHS):
            for rows in self.workload.minibatches():
                self.minibatch(rows)

    def minibatch(self, rows: torch.Tensor) -> None:
        """Train on some rows."""
        outputs = self.outputs(self.workload.features[rows], self.workload.starts[rows])
        log_prob, entropy = w.categorical(self.policy(outputs), self.workload.actions[rows])
        value = self.value(outputs).squeeze(-1)
        w.descend(self.optimizer, w.ppo_loss(log_prob, entropy, value, self.workload, rows))

    def outputs(self, features: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        """Run the LSTM over the rows."""
        zeros = features.new_zeros(1, features.shape[0], w.HIDDEN)
        outputs: torch.Tensor = self.lstm(features, (zeros, zeros))[0]
        return outputs


class StepLoop(RawLSTM):
    """A loop over time that multiplies the state by `1 - start`, as CleanRL does."""

    def outputs(self, features: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        """Run the LSTM one step at a time."""
        h = c = features.new_zeros(1, features.shape[0], w.HIDDEN)
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
        outputs = self.run(padded, torch.tensor(lengths))
        valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        return outputs[valid].view(*starts.shape, w.HIDDEN)

    def run(self, padded: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        """Run the LSTM over the pieces, padding included."""
        outputs: torch.Tensor = self.lstm(padded)[0]
        return outputs


class Packed(SplitAndPad):
    """Cut at each start, and run the pieces as a `PackedSequence`."""

    def run(self, padded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Run the LSTM over the pieces without their padding."""
        packed = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return outputs


def piece_lengths(starts: torch.Tensor) -> list[int]:
    """Return the length of each piece of the flattened batch, cut at row ends and starts."""
    cuts = starts.clone()
    cuts[:, 0] = True
    begins = cuts.flatten().nonzero().flatten()
    ends = torch.cat([begins[1:], torch.tensor([starts.numel()])])
    lengths: list[int] = (ends - begins).tolist()
    return lengths
