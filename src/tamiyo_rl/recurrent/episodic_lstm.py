"""An `nn.LSTM` that resets its state at episode starts inside the fused kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tamiyo_rl.checks import describe
from tamiyo_rl.recurrent.episodic_rnn import EpisodicRNN, Parts
from tamiyo_rl.recurrent.hidden_state import HiddenState
from tamiyo_rl.recurrent.separators import LearnedState, augmented_weights


class EpisodicLSTM(EpisodicRNN, nn.LSTM):
    """An `nn.LSTM` with exact episode resets inside one fused call a layer.

    Without `episode_starts` and with a zero initial state it is `nn.LSTM`. With them, the state
    before each start is the initial state (C5), and no gradient passes the start.

    A reset costs no Python loop and no splitting: before each start a *separator step* is put
    into the sequence, with an extra input column whose weights of -2^100 close the input, forget
    and output gates to exactly 0, whatever the other weights are. Then `c = 0` and `h = 0`
    exactly, and so are their gradients. Float16 cannot hold 2^100: there the weights are checked.
    A learned initial state, `c0 = tanh(a)`, `h0 = sigmoid(b) * tanh(c0)` with parameters
    `initial_cell` (a) and `initial_output` (b), is written by a second separator.

    The state dict of an `nn.LSTM` loads strictly (C11): it starts from zeros, so a learned
    initial state is set to zeros by it.

    Args:
        *args: As for `nn.LSTM`.
        learn_initial_state: Whether the initial state is learned; else it is zeros.
        **kwargs: As for `nn.LSTM`.

    Raises:
        TypeError: If `learn_initial_state` is not a bool.
        ValueError: If it comes with `bidirectional` or `proj_size`.

    Examples:
        ```python
        import torch
        from tamiyo_rl import EpisodicLSTM

        lstm = EpisodicLSTM(input_size=4, hidden_size=8, batch_first=True)
        inputs = torch.randn(2, 6, 4)
        starts = torch.zeros(2, 6, dtype=torch.bool)
        starts[0, 3] = True
        outputs, (h, c) = lstm(inputs, episode_starts=starts)

        fresh, _ = lstm(inputs[:1, 3:])
        print(list(outputs.shape), torch.allclose(outputs[:1, 3:], fresh, atol=1e-6))
        ```

        ```text
        [2, 6, 8] True
        ```
    """

    cell = "lstm"
    learned_names = ("initial_cell", "initial_output")
    initial_cell: nn.Parameter | None
    initial_output: nn.Parameter | None

    def _learned_parts(self) -> Parts:
        learned = self._learned()
        c = torch.tanh(learned.cell)
        return torch.sigmoid(learned.output) * torch.tanh(c), c

    def _learned(self) -> LearnedState:
        return LearnedState(*(getattr(self, name) for name in self.learned_names))

    def _parts(self, hx: Any) -> Parts:
        if not isinstance(hx, tuple | list) or len(hx) != 2:
            raise TypeError(f"hx: expected a pair (h, c), got {describe(hx)}.")
        for name, part in zip("hc", hx, strict=True):
            if not isinstance(part, torch.Tensor):
                raise TypeError(f"hx: expected {name} to be a tensor, got {describe(part)}.")
        return tuple(hx)

    def _state(self, parts: Parts) -> HiddenState:
        return HiddenState(*parts)

    def _run_cell(self, features: torch.Tensor, before: Parts, weights: Any) -> Parts:
        return torch.lstm_cell(features, before, *weights)

    def _augmented_weights(self, layer: int, closing: float) -> list[torch.Tensor]:
        learned = None
        if self.learns_initial_state:
            learned = LearnedState(*(part[layer] for part in self._learned()))
        return augmented_weights(self.all_weights[layer], learned, closing)

    def _columns(self, kinds: torch.Tensor) -> torch.Tensor:
        return kinds

    def _run_fused(
        self, stream: torch.Tensor, before: Parts, weights: list[torch.Tensor]
    ) -> tuple[torch.Tensor, Parts]:
        outputs, h, c = torch.lstm(
            stream,
            before,
            weights,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=torch.is_grad_enabled(),  # cuDNN keeps what backward needs only then
            bidirectional=False,
            batch_first=False,
        )
        return outputs, (h, c)
