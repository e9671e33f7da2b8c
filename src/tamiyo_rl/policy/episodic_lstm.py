"""An `nn.LSTM` that resets its state at episode starts inside the fused kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from tamiyo_rl.policy.episode_plan import EpisodePlan, Layout
from tamiyo_rl.policy.protocol import HiddenState

# Drives a gate to exactly 0 or 1 in every floating point type, and is finite in float16.
SATURATION = 1e4


class EpisodicLSTM(nn.LSTM):
    """An `nn.LSTM` with exact episode resets inside one fused call a layer.

    Without `episode_starts` and with a zero initial state it is `nn.LSTM`. With them, the state
    before each start is the initial state (C5), and no gradient passes the start.

    A reset costs no Python loop and no splitting: before each start a *separator step* is put
    into the sequence, with an extra input column whose weights of -1e4 close the input, forget
    and output gates to exactly 0. Then `c = 0` and `h = 0` exactly, and so are their gradients.
    A learned initial state, `c0 = tanh(a)`, `h0 = sigmoid(b) * tanh(c0)` with parameters
    `initial_cell` (a) and `initial_output` (b), is written by a second separator.

    The state dict of an `nn.LSTM` loads strictly (C11): it starts from zeros, so a learned
    initial state is set to zeros by it.

    Args:
        *args: As for `nn.LSTM`.
        learn_initial_state: Whether the initial state is learned; else it is zeros.
        **kwargs: As for `nn.LSTM`.

    Raises:
        ValueError: If `learn_initial_state` comes with `bidirectional` or `proj_size`.

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

    weight_ih_l0: nn.Parameter
    weight_hh_l0: nn.Parameter
    initial_cell: nn.Parameter | None
    initial_output: nn.Parameter | None

    def __init__(self, *args: Any, learn_initial_state: bool = False, **kwargs: Any) -> None:  # noqa: ANN401 - nn.LSTM's own
        super().__init__(*args, **kwargs)
        if learn_initial_state and (self.bidirectional or self.proj_size):
            raise ValueError(
                "learn_initial_state: expected False with bidirectional or proj_size, got True. "
                "A learned initial state is written as a plain, one-directional LSTM state."
            )
        like = self.weight_hh_l0
        for name in ("initial_cell", "initial_output"):
            zeros = like.new_zeros(self.num_layers, self.hidden_size)
            self.register_parameter(name, nn.Parameter(zeros) if learn_initial_state else None)

    @property
    def learns_initial_state(self) -> bool:
        """Whether the initial state is learned."""
        return self.initial_cell is not None

    def initial_state(self, batch_size: int) -> HiddenState:
        """Return the differentiable state at the start of an episode, `[layers, B, hidden]`.

        Args:
            batch_size: Rows of the state.
        """
        if self.initial_cell is None or self.initial_output is None:
            zeros = self.weight_hh_l0.new_zeros(self.num_layers, batch_size, self.hidden_size)
            return HiddenState(zeros, zeros.clone())
        c = torch.tanh(self.initial_cell)
        h = torch.sigmoid(self.initial_output) * torch.tanh(c)
        rows = (-1, batch_size, -1)
        return HiddenState(
            h[:, None].expand(rows).contiguous(), c[:, None].expand(rows).contiguous()
        )

    def reset_parameters(self) -> None:
        """Initialise the weights as `nn.LSTM` does, and a learned initial state to zeros."""
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("initial_"):
                nn.init.zeros_(parameter)

    def forward(
        self,
        inputs: torch.Tensor | PackedSequence,
        hidden: tuple[torch.Tensor, torch.Tensor] | None = None,
        episode_starts: torch.Tensor | EpisodePlan | None = None,
    ) -> tuple[Any, tuple[torch.Tensor, torch.Tensor]]:
        """Run the LSTM over sequences, from the initial state at every episode start.

        Args:
            inputs: `[T, B, F]`, or `[B, T, F]` with `batch_first`.
            hidden: State before step 0, a pair of `[layers, B, hidden]`; None for the initial
                state.
            episode_starts: `[B, T]` bool, true where a step is the first of its episode, or the
                `EpisodePlan` of it; None for no start. A tensor on CUDA is copied to the CPU,
                which waits for the device: pass a plan to avoid that.

        Returns:
            Outputs, shaped as `inputs` with `hidden` features, and the state after the last step.

        Raises:
            ValueError: If `episode_starts` has another shape than the inputs, or comes with
                packed or unbatched inputs, `bidirectional` or `proj_size`; if the inputs or the
                hidden state have another size than the LSTM.
        """
        if episode_starts is None:
            return super().forward(inputs, self._given_or_learned(inputs, hidden))
        sequences = self._resettable(inputs, episode_starts)
        state = self._state_before(sequences.shape[0], hidden, episode_starts)
        if sequences.shape[1] == 1:
            return self._run_cells(sequences[:, 0], state)
        plan = episode_starts
        if isinstance(plan, torch.Tensor):
            plan = EpisodePlan(plan)
        if not plan.resets:
            return super().forward(inputs, state)
        outputs, state = self._run_layers(sequences, state, plan)
        return (outputs if self.batch_first else outputs.transpose(0, 1)), state

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:  # noqa: ANN401 - nn.Module's own
        names = [prefix + name for name in ("initial_cell", "initial_output")]
        weight = state_dict.get(f"{prefix}weight_hh_l0")
        if self.learns_initial_state and weight is not None and not state_dict.keys() & names:
            shape = (self.num_layers, self.hidden_size)
            state_dict |= {name: weight.new_zeros(shape) for name in names}
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _given_or_learned(
        self,
        inputs: torch.Tensor | PackedSequence,
        hidden: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        if hidden is not None or not self.learns_initial_state:
            return hidden
        if isinstance(inputs, PackedSequence):
            return self.initial_state(int(inputs.batch_sizes[0]))
        if inputs.dim() == 2:  # noqa: PLR2004 - [T, F], unbatched
            h, c = self.initial_state(1)
            return h[:, 0], c[:, 0]
        return self.initial_state(inputs.shape[0 if self.batch_first else 1])

    def _resettable(
        self, inputs: torch.Tensor | PackedSequence, starts: torch.Tensor | EpisodePlan
    ) -> torch.Tensor:
        """Return the inputs as `[B, T, F]`, or raise where episode starts cannot be used."""
        if (
            isinstance(inputs, PackedSequence)
            or inputs.dim() != 3  # noqa: PLR2004 - [B, T, F]
            or self.bidirectional
            or self.proj_size
        ):
            raise ValueError(
                "episode_starts: expected None with packed or unbatched inputs, bidirectional "
                "or proj_size. Pass padded, batched inputs to a plain LSTM to use episode starts."
            )
        sequences = inputs if self.batch_first else inputs.transpose(0, 1)
        if tuple(starts.shape) != tuple(sequences.shape[:2]):
            raise ValueError(
                f"episode_starts: expected [B, T] = {list(sequences.shape[:2])} as the inputs "
                f"have, got {list(starts.shape)}."
            )
        if sequences.shape[2] != self.input_size:
            raise ValueError(
                f"inputs: expected {self.input_size} features, the input_size, got "
                f"{sequences.shape[2]}."
            )
        return sequences

    def _state_before(
        self,
        batch_size: int,
        hidden: tuple[torch.Tensor, torch.Tensor] | None,
        starts: torch.Tensor | EpisodePlan,
    ) -> HiddenState:
        """Return the state before step 0: the initial one where a row starts an episode there."""
        initial = self.initial_state(batch_size)
        if hidden is None:
            return initial
        for name, part, like in zip("hc", hidden, initial, strict=True):
            if part.shape != like.shape:
                raise ValueError(
                    f"hidden: expected {name} of [layers, B, hidden] = {list(like.shape)}, got "
                    f"{list(part.shape)}."
                )
        steps = starts.episode_starts if isinstance(starts, EpisodePlan) else starts
        first = steps[:, 0].to(initial.h.device, non_blocking=True, copy=True)[:, None]
        h, c = (torch.where(first, new, old) for new, old in zip(initial, hidden, strict=True))
        return HiddenState(h, c)

    def _run_cells(
        self, features: torch.Tensor, state: HiddenState
    ) -> tuple[torch.Tensor, HiddenState]:
        """Take one step without the set-up of a sequence, which would take longer than the step."""
        after: list[tuple[torch.Tensor, torch.Tensor]] = []
        for layer, weights in enumerate(self.all_weights):
            if layer:
                features = nn.functional.dropout(features, self.dropout, self.training)
            before = (state.h[layer].to(features.dtype), state.c[layer].to(features.dtype))
            features, c = torch.lstm_cell(features, before, *weights)
            after.append((features, c))
        h, c = (torch.stack(part) for part in zip(*after, strict=True))
        return features.unsqueeze(1 if self.batch_first else 0), HiddenState(h, c)

    def _run_layers(
        self, sequences: torch.Tensor, state: HiddenState, plan: EpisodePlan
    ) -> tuple[torch.Tensor, HiddenState]:
        layout = plan.layout(sequences.device, learned=self.learns_initial_state)
        kinds = self._kind_columns(layout)
        stream = sequences.new_zeros(layout.zero.shape[0], sequences.shape[2])
        stream = stream.index_copy(0, layout.real, sequences.flatten(0, 1))
        before, after = self._lane_states(state, layout), []
        for layer in range(self.num_layers):
            if layer:
                stream = self._between_layers(stream, kinds)
            stream, ended = self._run_layer(layer, torch.cat([stream, kinds], dim=1), before)
            after.append(ended)
        h, c = (torch.cat(part).index_select(1, layout.last) for part in zip(*after, strict=True))
        outputs = stream.index_select(0, layout.real)
        return outputs.view(*sequences.shape[:2], self.hidden_size), HiddenState(h, c)

    def _kind_columns(self, layout: Layout) -> torch.Tensor:
        """Turn the kinds of the steps into input columns: zero; or zero, write, real."""
        columns = [layout.zero]
        if self.learns_initial_state:
            columns = [layout.zero & ~layout.write, layout.write, ~layout.zero]
        return torch.stack(columns, dim=1).to(self.weight_ih_l0.dtype)

    def _lane_states(self, state: HiddenState, layout: Layout) -> HiddenState:
        """Return the states before the lanes: the rows', then for lanes that begin afresh."""
        rows = state.h.shape[1]
        fresh = layout.fresh[rows:, None]
        h, c = (
            torch.cat([given, torch.where(fresh, initial, torch.zeros_like(initial))], dim=1)
            for given, initial in zip(state, self.initial_state(layout.lanes - rows), strict=True)
        )
        return HiddenState(h, c)

    def _between_layers(self, stream: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Give the next layer no features at separators, and apply the dropout between layers."""
        if self.learns_initial_state:  # a written state shows in the outputs; a zeroed one does not
            stream = stream * kinds[:, 2:]
        return nn.functional.dropout(stream, self.dropout, self.training)

    def _run_layer(
        self, layer: int, stream: torch.Tensor, before: HiddenState
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        lanes = before.h.shape[1]
        outputs, h, c = torch.lstm(
            stream.view(-1, lanes, stream.shape[1]),
            [part[layer : layer + 1].to(stream.dtype).contiguous() for part in before],
            self._augmented_weights(layer),
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=torch.is_grad_enabled(),  # cuDNN keeps what backward needs only then
            bidirectional=False,
            batch_first=False,
        )
        return outputs.flatten(0, 1), (h, c)

    def _augmented_weights(self, layer: int) -> list[torch.Tensor]:
        """Return the layer's weights with the separator columns, in one buffer as cuDNN wants."""
        w_ih, w_hh, *biases = self.all_weights[layer]
        b_ih, b_hh = biases or (w_hh.new_zeros(w_hh.shape[0]),) * 2
        columns = _zero_column(w_hh)
        if self.initial_cell is not None and self.initial_output is not None:
            seeds = (self.initial_cell[layer], self.initial_output[layer])
            columns = torch.cat([columns, _write_columns(b_ih + b_hh, *seeds)], dim=1)
            b_ih, b_hh = _without_seeded_gates(b_ih), _without_seeded_gates(b_hh)
        parts = [torch.cat([w_ih, columns], dim=1), w_hh, b_ih, b_hh]
        flat = torch.cat([part.flatten() for part in parts])
        split = flat.split([part.numel() for part in parts])
        return [piece.view(part.shape) for piece, part in zip(split, parts, strict=True)]


def _zero_column(weight: torch.Tensor) -> torch.Tensor:
    """Weights `[4H, 1]` that close the input, forget and output gates."""
    gates = weight.new_zeros(4, weight.shape[1], 1)  # input, forget, cell, output
    gates[:2] = -SATURATION
    gates[3] = -SATURATION
    return gates.flatten(0, 1)


def _write_columns(bias: torch.Tensor, cell: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
    """Weights `[4H, 2]` that write the learned state (column 0) and that are the bias elsewhere.

    The cell and output gates take their bias from column 1, so that nothing has to cancel it in
    column 0: in TF32 it would not cancel.
    """
    opened, closed = torch.full_like(cell, SATURATION), torch.full_like(cell, -SATURATION)
    write = torch.cat([opened, closed, cell, output])
    return torch.stack([write, bias - _without_seeded_gates(bias)], dim=1)


def _without_seeded_gates(bias: torch.Tensor) -> torch.Tensor:
    """Return the bias `[4H]` with zeros for the cell and output gates."""
    kept, seeded = bias.chunk(2)
    return torch.cat([kept, torch.zeros_like(seeded)])
