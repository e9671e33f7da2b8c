"""An `nn.GRU` that resets its state at episode starts inside the fused kernel."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from tamiyo_rl.checks import describe
from tamiyo_rl.recurrent.episodic_rnn import EpisodicRNN, Parts
from tamiyo_rl.recurrent.separators import augmented_gru_weights


class EpisodicGRU(EpisodicRNN, nn.GRU):
    """An `nn.GRU` with exact episode resets inside one fused call a layer.

    Without `episode_starts` and with a zero initial state it is `nn.GRU`. With them, the state
    before each start is the initial state (C5), and no gradient passes the start. A state is a
    tensor `[layers, B, hidden]`, as that of `nn.GRU`.

    Before each start a *separator step* is put into the sequence. With `h' = (1 - z) * n + z * h`
    there is no output gate to close. An extra input column with weights of -2^100 closes the reset
    and update gates to exactly 0, so that `h' = n`, and the candidate `n` is exactly `tanh(0)`: its
    input bias comes from a column that is 1 at the real steps only, and the closed reset gate
    removes its hidden bias. A learned initial state, `h0 = tanh(a)` with the parameter
    `initial_candidate` (a), is written by a second separator. Float16 cannot hold 2^100: there the
    weights are checked.

    The state dict of an `nn.GRU` loads strictly (C11): it starts from zeros, so a learned
    initial state is set to zeros by it.

    Args:
        *args: As for `nn.GRU`.
        learn_initial_state: Whether the initial state is learned; else it is zeros.
        **kwargs: As for `nn.GRU`.

    Raises:
        TypeError: If `learn_initial_state` is not a bool.
        ValueError: If it comes with `bidirectional`.

    Examples:
        ```python
        import torch
        from tamiyo_rl import EpisodicGRU

        gru = EpisodicGRU(input_size=4, hidden_size=8, batch_first=True)
        inputs = torch.randn(2, 6, 4)
        starts = torch.zeros(2, 6, dtype=torch.bool)
        starts[0, 3] = True
        outputs, h = gru(inputs, episode_starts=starts)

        fresh, _ = gru(inputs[:1, 3:])
        print(list(outputs.shape), torch.allclose(outputs[:1, 3:], fresh, atol=1e-6))
        ```

        ```text
        [2, 6, 8] True
        ```
    """

    cell = "gru"
    learned_names = ("initial_candidate",)
    initial_candidate: nn.Parameter | None

    def _learned_parts(self) -> Parts:
        return (torch.tanh(cast("torch.Tensor", self.initial_candidate)),)

    def _parts(self, hx: Any) -> Parts:
        if not isinstance(hx, torch.Tensor):
            raise TypeError(f"hx: expected a tensor, got {describe(hx)}.")
        return (hx,)

    def _state(self, parts: Parts) -> torch.Tensor:
        return parts[0]

    def _run_cell(self, features: torch.Tensor, before: Parts, weights: Any) -> Parts:
        return (torch.gru_cell(features, before[0], *weights),)

    def _augmented_weights(self, layer: int, closing: float) -> list[torch.Tensor]:
        learned = None if self.initial_candidate is None else self.initial_candidate[layer]
        return augmented_gru_weights(self.all_weights[layer], learned, closing)

    def _columns(self, kinds: torch.Tensor) -> torch.Tensor:
        return kinds if self.learns_initial_state else torch.cat([1 - kinds, kinds], dim=1)

    def _run_fused(
        self, stream: torch.Tensor, before: Parts, weights: list[torch.Tensor]
    ) -> tuple[torch.Tensor, Parts]:
        outputs, h = torch.gru(
            stream,
            before[0],
            weights,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=torch.is_grad_enabled(),  # cuDNN keeps what backward needs only then
            bidirectional=False,
            batch_first=False,
        )
        return outputs, (h,)
