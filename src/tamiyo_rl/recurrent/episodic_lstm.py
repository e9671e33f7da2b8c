"""An `nn.LSTM` that resets its state at episode starts inside the fused kernel."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from tamiyo_rl.checks import describe, require_bool, require_positive
from tamiyo_rl.recurrent.episode_plan import EpisodePlan
from tamiyo_rl.recurrent.hidden_state import HiddenState
from tamiyo_rl.recurrent.packing import Layout
from tamiyo_rl.recurrent.precision import compute_dtype, run_where_supported
from tamiyo_rl.recurrent.separators import (
    LearnedState,
    augmented_weights,
    in_one_buffer,
    insert_separators,
    remove_separators,
    saturation,
)

F = TypeVar("F", bound=Callable[..., Any])


def uncompiled(method: F) -> F:
    """Do as `torch.compiler.disable`, which loads the compiler at once: a second at each import."""

    @functools.wraps(method)
    def outside(*args: Any, **kwargs: Any) -> Any:
        call = torch.compiler.disable(method) if torch.compiler.is_compiling() else method
        return call(*args, **kwargs)

    return outside  # type: ignore[return-value]  # it takes and gives what the method does


class InLanes(NamedTuple):
    """The outputs of an `EpisodicLSTM` in the places where the fused call computed them.

    What treats every step alike, such as a linear layer, is cheaper before `to_batch` than after.

    Attributes:
        outputs: `[places, hidden]`.
        to_batch: Takes anything computed from them, `[places, K]`, to `[B, T, K]`.
        hidden: State after the last step of each row.
    """

    outputs: torch.Tensor
    to_batch: Callable[[torch.Tensor], torch.Tensor]
    hidden: HiddenState


class EpisodicLSTM(nn.LSTM):
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

    weight_ih_l0: nn.Parameter
    weight_hh_l0: nn.Parameter
    initial_cell: nn.Parameter | None
    initial_output: nn.Parameter | None

    def __init__(self, *args: Any, learn_initial_state: bool = False, **kwargs: Any) -> None:
        require_bool(learn_initial_state=learn_initial_state)
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

        Raises:
            ValueError: If `batch_size` is below 1.
        """
        require_positive(batch_size=batch_size)
        return self._initial_state(batch_size)

    # enforces C3
    def _initial_state(self, batch_size: int) -> HiddenState:
        """As `initial_state`, of any number of rows."""
        if self.initial_cell is None or self.initial_output is None:
            zeros = self.weight_hh_l0.new_zeros(self.num_layers, batch_size, self.hidden_size)
            return HiddenState(zeros, zeros.clone())
        c = torch.tanh(self.initial_cell)
        h = torch.sigmoid(self.initial_output) * torch.tanh(c)
        rows = (-1, batch_size, -1)
        return HiddenState(
            h[:, None].expand(rows).contiguous(), c[:, None].expand(rows).contiguous()
        )

    def extra_repr(self) -> str:
        """Describe the settings as `nn.LSTM` does, and whether the initial state is learned."""
        learned = ", learn_initial_state=True" if self.learns_initial_state else ""
        return super().extra_repr() + learned

    def reset_parameters(self) -> None:
        """Initialise the weights as `nn.LSTM` does, and a learned initial state to zeros."""
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("initial_"):
                nn.init.zeros_(parameter)

    def forward(
        self,
        input: torch.Tensor | PackedSequence,  # noqa: A002 - nn.LSTM's own name
        hx: tuple[torch.Tensor, torch.Tensor] | None = None,
        episode_starts: torch.Tensor | EpisodePlan | None = None,
    ) -> tuple[Any, tuple[torch.Tensor, torch.Tensor]]:
        """Run the LSTM over sequences, from the initial state at every episode start.

        The arguments have the names of `nn.LSTM`.

        Args:
            input: `[T, B, F]`, or `[B, T, F]` with `batch_first`.
            hx: State before step 0, a pair of `[layers, B, hidden]`; None for the initial
                state.
            episode_starts: `[B, T]` bool, true where a step is the first of its episode, or the
                `EpisodePlan` of it; None for no start. A tensor on CUDA is copied to the CPU,
                which waits for the device: pass a plan to avoid that.

        Returns:
            Outputs, shaped as `input` with `hidden` features, and the state after the last step.

        Raises:
            TypeError: If an argument is not a tensor, or `hx` is not a pair of them.
            ValueError: If `episode_starts` has another shape than the inputs, or comes with
                packed or unbatched inputs, `bidirectional` or `proj_size`; if the inputs or the
                hidden state have another size than the LSTM.
        """
        if episode_starts is None:
            state = self._given_or_learned(input, hx)
            if isinstance(input, PackedSequence) or self.proj_size:
                return super().forward(input, state)  # oneDNN has no kernel for these
            return self._run(super().forward, input, state)
        sequences = self._resettable(input, episode_starts)
        outputs, to_batch, state = self.forward_in_lanes(sequences, hx, episode_starts)
        batch = to_batch(outputs)
        return (batch if self.batch_first else batch.transpose(0, 1)), state

    @uncompiled
    def forward_in_lanes(
        self,
        sequences: torch.Tensor,
        hx: tuple[torch.Tensor, torch.Tensor] | None = None,
        episode_starts: torch.Tensor | EpisodePlan | None = None,
    ) -> InLanes:
        """Run as `forward` does, but leave the outputs in the places where they were computed.

        Args:
            sequences: `[B, T, F]`, whatever `batch_first` is.
            hx: As for `forward`.
            episode_starts: As for `forward`.

        Raises:
            TypeError: As `forward`.
            ValueError: As `forward`.
        """
        if sequences.shape[1] == 1:
            outputs, after = self.step(sequences[:, 0], hx, _at_step_0(episode_starts))
            return InLanes(outputs.clone(), _one_step, after)  # else they would share memory
        before = self._state_before(sequences.shape[0], hx, _at_step_0(episode_starts))
        plan = EpisodePlan(episode_starts) if torch.is_tensor(episode_starts) else episode_starts
        if plan is None or not plan.resets:
            outputs, after = self._run(self._run_rows, sequences, before)
            from_rows = partial(_from_time_major, time=sequences.shape[1])
            return InLanes(outputs, from_rows, after)
        layout = plan.layout(sequences.device, learned=self.learns_initial_state)
        in_lanes = partial(self._run_lanes, layout=layout)
        outputs, after = self._run(in_lanes, sequences.flatten(0, 1), before)
        from_lanes = partial(_from_lanes, layout=layout, time=sequences.shape[1])
        return InLanes(outputs, from_lanes, after)

    @uncompiled
    def step(
        self,
        features: torch.Tensor,
        hx: tuple[torch.Tensor, torch.Tensor] | None = None,
        episode_starts: torch.Tensor | EpisodePlan | None = None,
    ) -> tuple[torch.Tensor, HiddenState]:
        """Take one step, as `forward` does of sequences of one step, and in less time.

        Args:
            features: `[B, F]`.
            hx: As for `forward`.
            episode_starts: `[B]` bool, true where the step is the first of its episode, or the
                `EpisodePlan` of it; None for no start.

        Returns:
            Outputs `[B, hidden]`, and the state after the step, which may share their memory.

        Raises:
            TypeError: If `hx` is not a pair of tensors.
            ValueError: If the hidden state has another size than the LSTM, or the LSTM has
                `bidirectional` or `proj_size`.

        Examples:
            ```python
            import torch
            from tamiyo_rl import EpisodicLSTM

            lstm = EpisodicLSTM(input_size=4, hidden_size=8)
            outputs, state = lstm.step(torch.zeros(2, 4))
            print(list(outputs.shape), list(state.h.shape))
            ```

            ```text
            [2, 8] [1, 2, 8]
            ```
        """
        if self.bidirectional or self.proj_size:
            raise ValueError(
                "EpisodicLSTM: expected neither bidirectional nor proj_size to take one step. Call "
                "forward() with sequences of one step."
            )
        before = self._state_before(features.shape[0], hx, episode_starts)
        return self._run(self._run_cells, features, before)

    def _run(
        self, kernel: Callable[[Any, Any], tuple[Any, Any]], inputs: Any, state: Any
    ) -> tuple[Any, Any]:
        return run_where_supported(kernel, inputs, state, self.weight_hh_l0)

    # enforces C11
    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        names = [prefix + name for name in ("initial_cell", "initial_output")]
        weight = state_dict.get(f"{prefix}weight_hh_l0")
        if self.learns_initial_state and weight is not None and not state_dict.keys() & names:
            shape = (self.num_layers, self.hidden_size)
            state_dict |= {name: weight.new_zeros(shape) for name in names}
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _given_or_learned(
        self,
        inputs: torch.Tensor | PackedSequence,
        hx: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        if hx is not None or not self.learns_initial_state:
            return hx
        if isinstance(inputs, PackedSequence):
            return self._initial_state(int(inputs.batch_sizes[0]))
        if inputs.dim() == 2:
            h, c = self._initial_state(1)
            return h[:, 0], c[:, 0]
        return self._initial_state(inputs.shape[0 if self.batch_first else 1])

    def _resettable(
        self, inputs: torch.Tensor | PackedSequence, starts: torch.Tensor | EpisodePlan
    ) -> torch.Tensor:
        """Return the inputs as `[B, T, F]`, or raise where episode starts cannot be used."""
        for name, value in (("input", inputs), ("episode_starts", starts)):
            if not isinstance(value, torch.Tensor | PackedSequence | EpisodePlan):
                raise TypeError(f"{name}: expected a tensor, got {describe(value)}.")
        if (
            isinstance(inputs, PackedSequence)
            or inputs.dim() != 3
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
                f"episode_starts: expected [B, T] = {list(sequences.shape[:2])} as the input "
                f"has, got {list(starts.shape)}."
            )
        if sequences.shape[2] != self.input_size:
            raise ValueError(
                f"input: expected {self.input_size} features, the input_size, got "
                f"{sequences.shape[2]}."
            )
        return sequences

    # enforces C5
    def _state_before(
        self,
        batch_size: int,
        hx: tuple[torch.Tensor, torch.Tensor] | None,
        starts: torch.Tensor | EpisodePlan | None,
    ) -> HiddenState:
        """Return the state before step 0: the initial one where a row starts an episode there.

        The starts are those of step 0, `[B]`, or a plan.
        """
        if hx is None:
            return self._initial_state(batch_size)
        shape = (self.num_layers, batch_size, self.hidden_size)
        if not isinstance(hx, tuple | list) or len(hx) != 2:
            raise TypeError(f"hx: expected a pair (h, c), got {describe(hx)}.")
        for name, part in zip("hc", hx, strict=True):
            if not isinstance(part, torch.Tensor):
                raise TypeError(f"hx: expected {name} to be a tensor, got {describe(part)}.")
            if part.shape != shape:
                raise ValueError(
                    f"hx: expected {name} of [layers, B, hidden] = {list(shape)}, got "
                    f"{list(part.shape)}."
                )
        if starts is None:
            return HiddenState(*hx)
        if not self.learns_initial_state and _none_starts(starts):
            return HiddenState(*hx)
        device = hx[0].device
        if isinstance(starts, EpisodePlan):
            first = starts.first(device)
        else:
            first = starts.to(device).unsqueeze(1)
        if not self.learns_initial_state:
            return HiddenState(*(part.masked_fill(first, 0) for part in hx))
        # Also where no row starts: DistributedDataParallel wants every parameter in the graph.
        initial = self._initial_state(batch_size)
        h, c = (torch.where(first, new, old) for new, old in zip(initial, hx, strict=True))
        return HiddenState(h, c)

    def _run_cells(
        self, features: torch.Tensor, state: HiddenState
    ) -> tuple[torch.Tensor, HiddenState]:
        """Take one step without the set-up of a sequence, which would take longer than the step."""
        dtype = compute_dtype(self.weight_hh_l0)
        if features.dtype != dtype or state.h.dtype != dtype:
            features = features.to(dtype)
            state = HiddenState(state.h.to(dtype), state.c.to(dtype))
        after: list[tuple[torch.Tensor, torch.Tensor]] = []
        for layer, weights in enumerate(self.all_weights):
            if layer:
                features = nn.functional.dropout(features, self.dropout, self.training)
            before = (state.h.select(0, layer), state.c.select(0, layer))
            features, c = torch.lstm_cell(features, before, *weights)
            after.append((features, c))
        if len(after) == 1:
            return features, HiddenState(features.unsqueeze(0), c.unsqueeze(0))
        h, c = (torch.stack(part) for part in zip(*after, strict=True))
        return features, HiddenState(h, c)

    def _run_rows(
        self, sequences: torch.Tensor, state: HiddenState
    ) -> tuple[torch.Tensor, HiddenState]:
        """Run rows without a start after step 0 as `nn.LSTM` does; the places are time-major."""
        inputs = sequences if self.batch_first else sequences.transpose(0, 1)
        outputs, (h, c) = super().forward(inputs, state)
        outputs = outputs.transpose(0, 1) if self.batch_first else outputs
        return outputs.flatten(0, 1), HiddenState(h, c)

    def _run_lanes(
        self, steps: torch.Tensor, state: HiddenState, layout: Layout
    ) -> tuple[torch.Tensor, HiddenState]:
        """Run the steps `[B * T, F]` in their lanes, one fused call a layer."""
        kinds = layout.kinds.to(self.weight_ih_l0.dtype)
        stream, before = insert_separators(steps, layout), self._lane_states(state, layout)
        after: list[tuple[torch.Tensor, torch.Tensor]] = []
        for layer in range(self.num_layers):
            if layer:
                stream = self._between_layers(stream, kinds)
            stream, ended = self._run_layer(layer, torch.cat([stream, kinds], dim=1), before)
            after.append(ended)
        h, c = (torch.cat(part).index_select(1, layout.last) for part in zip(*after, strict=True))
        return stream, HiddenState(h, c)

    def _lane_states(self, state: HiddenState, layout: Layout) -> HiddenState:
        """Return the states before the lanes: the rows', then for lanes that begin afresh."""
        rows = state.h.shape[1]
        if not self.learns_initial_state:
            h, c = (nn.functional.pad(part, (0, 0, 0, layout.lanes - rows)) for part in state)
            return HiddenState(h, c)
        fresh = layout.fresh[rows:, None]  # type: ignore[index]  # there is one, as a state is learned
        h, c = (
            torch.cat([given, torch.where(fresh, initial, torch.zeros_like(initial))], dim=1)
            for given, initial in zip(state, self._initial_state(layout.lanes - rows), strict=True)
        )
        return HiddenState(h, c)

    def _between_layers(self, stream: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Give the next layer no features at separators, and apply the dropout between layers."""
        if self.learns_initial_state:  # a written state shows in the outputs; a zeroed one does not
            stream = stream * kinds[:, :1]
        return nn.functional.dropout(stream, self.dropout, self.training)

    def _run_layer(
        self, layer: int, stream: torch.Tensor, before: HiddenState
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        lanes = before.h.shape[1]
        learned = None
        if self.initial_cell is not None and self.initial_output is not None:
            learned = LearnedState(self.initial_cell[layer], self.initial_output[layer])
        own = self.all_weights[layer]
        closing = saturation(own, compute_dtype(self.weight_hh_l0))
        weights = augmented_weights(own, learned, closing)
        outputs, h, c = torch.lstm(
            stream.view(-1, lanes, stream.shape[1]),
            [part[layer : layer + 1].to(stream.dtype).contiguous() for part in before],
            in_one_buffer(weights) if stream.is_cuda else weights,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=torch.is_grad_enabled(),  # cuDNN keeps what backward needs only then
            bidirectional=False,
            batch_first=False,
        )
        return outputs.flatten(0, 1), (h, c)


def _none_starts(starts: torch.Tensor | EpisodePlan) -> bool:
    """Tell whether no row starts an episode at step 0, as far as the CPU knows."""
    if isinstance(starts, EpisodePlan):
        return len(starts.continued_rows) == starts.shape[0]
    return starts.is_cpu and not starts.any()


def _at_step_0(starts: torch.Tensor | EpisodePlan | None) -> torch.Tensor | EpisodePlan | None:
    """Return which rows start an episode at step 0, `[B]`; a plan knows it."""
    return starts[:, 0] if isinstance(starts, torch.Tensor) else starts


def _one_step(places: torch.Tensor) -> torch.Tensor:
    return places.unsqueeze(1)


def _from_time_major(places: torch.Tensor, time: int) -> torch.Tensor:
    return places.view(time, -1, places.shape[1]).transpose(0, 1)


def _from_lanes(places: torch.Tensor, layout: Layout, time: int) -> torch.Tensor:
    return remove_separators(places, layout).view(-1, time, places.shape[1])
