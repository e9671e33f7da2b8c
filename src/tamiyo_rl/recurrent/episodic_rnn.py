"""Episode resets inside a fused recurrent kernel: what `EpisodicLSTM` and `EpisodicGRU` share."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from tamiyo_rl.checks import describe, require_bool, require_positive
from tamiyo_rl.recurrent.episode_plan import Cell, EpisodePlan
from tamiyo_rl.recurrent.packing import Layout
from tamiyo_rl.recurrent.precision import compute_dtype, run_where_supported
from tamiyo_rl.recurrent.separators import (
    in_one_buffer,
    insert_separators,
    remove_separators,
    saturation,
)

F = TypeVar("F", bound=Callable[..., Any])
Parts = tuple[torch.Tensor, ...]  # of a state, `[layers, B, hidden]` each
SIZES = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout")


def uncompiled(method: F) -> F:
    """Do as `torch.compiler.disable`, which loads the compiler at once: a second at each import."""

    @functools.wraps(method)
    def outside(*args: Any, **kwargs: Any) -> Any:
        call = torch.compiler.disable(method) if torch.compiler.is_compiling() else method
        return call(*args, **kwargs)

    return outside  # type: ignore[return-value]  # it takes and gives what the method does


class InLanes(NamedTuple):
    """The outputs of a recurrent core in the places where the fused call computed them.

    What treats every step alike, such as a linear layer, is cheaper before `to_batch` than after.

    Attributes:
        outputs: `[places, hidden]`.
        to_batch: Takes anything computed from them, `[places, K]`, to `[B, T, K]`.
        after: Parts of the state after the last step of each row.
    """

    outputs: torch.Tensor
    to_batch: Callable[[torch.Tensor], torch.Tensor]
    after: Parts


class EpisodicRNN(nn.RNNBase):
    """A recurrent layer of PyTorch that resets its state at episode starts (C5).

    A class that inherits from it and from `nn.LSTM` or `nn.GRU` says what a state is, and how a
    separator sets it.
    """

    cell: ClassVar[Cell]
    learned_names: ClassVar[tuple[str, ...]]  # the parameters of a learned initial state
    weight_ih_l0: nn.Parameter
    weight_hh_l0: nn.Parameter

    def __init__(self, *args: Any, learn_initial_state: bool = False, **kwargs: Any) -> None:
        require_bool(learn_initial_state=learn_initial_state)
        super().__init__(*args, **kwargs)
        if learn_initial_state and (self.bidirectional or self.proj_size):
            raise ValueError(
                "learn_initial_state: expected False with bidirectional or proj_size, got True. "
                f"A learned initial state is written as a plain, one-directional {self.mode} state."
            )
        like = self.weight_hh_l0
        for name in self.learned_names:
            zeros = like.new_zeros(self.num_layers, self.hidden_size)
            self.register_parameter(name, nn.Parameter(zeros) if learn_initial_state else None)

    @classmethod
    def sharing(cls, core: nn.RNNBase) -> Self:
        """Return a layer that has the parameters of one of PyTorch, and not copies of them.

        Args:
            core: An `nn.LSTM` or `nn.GRU`, as this class is.

        Raises:
            ValueError: If it is another layer, or has `bidirectional` or `proj_size`.
        """
        if type(core) is not cls.__bases__[-1]:
            raise ValueError(
                f"core: expected a torch.nn.{cls.__bases__[-1].__name__}, got "
                f"{type(core).__name__}."
            )
        for name, only in (("bidirectional", False), ("proj_size", 0)):
            if getattr(core, name) != only:
                raise ValueError(f"{name}: expected {only!r}, got {getattr(core, name)!r}.")
        sizes = {name: getattr(core, name) for name in SIZES}
        own = cls(**sizes, device="meta").train(core.training)
        for name, parameter in core.named_parameters():
            setattr(own, name, parameter)
        return own

    @property
    def learns_initial_state(self) -> bool:
        """Whether the initial state is learned."""
        return getattr(self, self.learned_names[0]) is not None

    def initial_state(self, batch_size: int) -> Any:
        """Return the differentiable state at the start of an episode, `[layers, B, hidden]`.

        Args:
            batch_size: Rows of the state.

        Raises:
            ValueError: If `batch_size` is below 1.
        """
        require_positive(batch_size=batch_size)
        return self._state(self.initial_parts(batch_size))

    # enforces C3
    def initial_parts(self, batch_size: int) -> Parts:
        """Return the parts of the initial state of any number of rows.

        Args:
            batch_size: Rows of the state, 0 among others.
        """
        if not self.learns_initial_state:
            zeros = self.weight_hh_l0.new_zeros(self.num_layers, batch_size, self.hidden_size)
            return zeros, *(zeros.clone() for _ in self.learned_names[1:])
        rows = (-1, batch_size, -1)
        return tuple(part[:, None].expand(rows).contiguous() for part in self._learned_parts())

    @abstractmethod
    def _learned_parts(self) -> Parts:
        """Return the parts of the learned initial state, `[layers, hidden]` each."""

    @abstractmethod
    def _parts(self, hx: Any) -> Parts:
        """Return the parts of a state that was passed, or raise if it is none."""

    @abstractmethod
    def _state(self, parts: Parts) -> Any:
        """Return the state that these are the parts of."""

    @abstractmethod
    def _run_cell(self, features: torch.Tensor, before: Parts, weights: Any) -> Parts:
        """Take one step of one layer; the first part of the state is its output."""

    @abstractmethod
    def _augmented_weights(self, layer: int, closing: float) -> list[torch.Tensor]:
        """Return the weights of a layer with the input weights of the columns of `_columns`."""

    @abstractmethod
    def _columns(self, kinds: torch.Tensor) -> torch.Tensor:
        """Return the input columns that tell separators from steps, from `Layout.kinds`."""

    @abstractmethod
    def _run_fused(
        self, stream: torch.Tensor, before: Parts, weights: list[torch.Tensor]
    ) -> tuple[torch.Tensor, Parts]:
        """Run one layer, time-major, and return its outputs and the last state."""

    def extra_repr(self) -> str:
        """Describe the settings as PyTorch does, and whether the initial state is learned."""
        learned = ", learn_initial_state=True" if self.learns_initial_state else ""
        return super().extra_repr() + learned

    def reset_parameters(self) -> None:
        """Initialise the weights as PyTorch does, and a learned initial state to zeros."""
        super().reset_parameters()
        for name, parameter in self.named_parameters():
            if name.startswith("initial_"):
                nn.init.zeros_(parameter)

    def forward(
        self,
        input: torch.Tensor | PackedSequence,  # noqa: A002 - PyTorch's own name
        hx: Any = None,
        episode_starts: torch.Tensor | EpisodePlan | None = None,
    ) -> tuple[Any, Any]:
        """Run over sequences, from the initial state at every episode start.

        The arguments have the names of PyTorch's.

        Args:
            input: `[T, B, F]`, or `[B, T, F]` with `batch_first`.
            hx: State before step 0, whose tensors are `[layers, B, hidden]`; None for the initial
                state.
            episode_starts: `[B, T]` bool, true where a step is the first of its episode, or the
                `EpisodePlan` of it; None for no start. A tensor on CUDA is copied to the CPU,
                which waits for the device: pass a plan to avoid that.

        Returns:
            Outputs, shaped as `input` with `hidden` features, and the state after the last step.

        Raises:
            TypeError: If an argument is not a tensor, or `hx` is not a state.
            ValueError: If `episode_starts` has another shape than the inputs, or comes with
                packed or unbatched inputs, `bidirectional` or `proj_size`; if the inputs or the
                hidden state have another size than the layer.
        """
        if episode_starts is None:
            state = self._given_or_learned(input, hx)
            if isinstance(input, PackedSequence) or self.proj_size:
                return super().forward(input, state)  # type: ignore[no-any-return]  # oneDNN has no kernel for these
            return self._run(super().forward, input, state)
        sequences = self._resettable(input, episode_starts)
        before = None if hx is None else self._parts(hx)
        outputs, to_batch, after = self.forward_in_lanes(sequences, before, episode_starts)
        batch = to_batch(outputs)
        return (batch if self.batch_first else batch.transpose(0, 1)), self._state(after)

    @uncompiled
    def forward_in_lanes(
        self,
        sequences: torch.Tensor,
        before: Parts | None = None,
        episode_starts: torch.Tensor | EpisodePlan | None = None,
    ) -> InLanes:
        """Run as `forward` does, but leave the outputs in the places where they were computed.

        Args:
            sequences: `[B, T, F]`, whatever `batch_first` is.
            before: Parts of the state before step 0; None for the initial state.
            episode_starts: As for `forward`.

        Raises:
            ValueError: As `forward`.
        """
        if sequences.shape[1] == 1:
            outputs, after = self.step_parts(sequences[:, 0], before, _at_step_0(episode_starts))
            return InLanes(outputs.clone(), _one_step, after)  # else they would share memory
        before = self._state_before(sequences.shape[0], before, _at_step_0(episode_starts))
        plan = EpisodePlan(episode_starts) if torch.is_tensor(episode_starts) else episode_starts
        if plan is None or not plan.resets:
            outputs, parts = self._run(self._run_rows, sequences, before)
            from_rows = partial(_from_time_major, time=sequences.shape[1])
            return InLanes(outputs, from_rows, parts)
        layout = self._layout(plan, sequences.device)
        in_lanes = partial(self._run_lanes, layout=layout)
        outputs, parts = self._run(in_lanes, sequences.flatten(0, 1), before)
        from_lanes = partial(_from_lanes, layout=layout, time=sequences.shape[1])
        return InLanes(outputs, from_lanes, parts)

    def run_rows(self, steps: torch.Tensor, hx: Any, episode_starts: EpisodePlan) -> torch.Tensor:
        """Run rows of unequal length, which lie one behind the other, and return the outputs.

        Args:
            steps: `[N, F]`, the steps of all rows.
            hx: State before the first step of each row; None for the initial state.
            episode_starts: The plan of the rows, from `EpisodePlan.of_rows`.

        Returns:
            `[N, hidden]`. The state after a row is not known: a short row ends inside a lane.

        Examples:
            ```python
            import torch
            from tamiyo_rl import EpisodePlan, EpisodicLSTM

            lstm = EpisodicLSTM(input_size=4, hidden_size=8)
            starts = torch.tensor([True, False, False, True, False])
            outputs = lstm.run_rows(torch.randn(5, 4), None, EpisodePlan.of_rows(starts, [3, 2]))
            print(list(outputs.shape))
            ```

            ```text
            [5, 8]
            ```
        """
        before = None if hx is None else self._parts(hx)
        parts = self._state_before(episode_starts.shape[0], before, episode_starts)
        layout = self._layout(episode_starts, steps.device)
        places, _ = self._run(partial(self._run_lanes, layout=layout), steps, parts)
        return remove_separators(places, layout)

    def _layout(self, plan: EpisodePlan, device: torch.device) -> Layout:
        return plan.layout(device, learned=self.learns_initial_state, cell=self.cell)

    def step(
        self,
        features: torch.Tensor,
        hx: Any = None,
        episode_starts: torch.Tensor | EpisodePlan | None = None,
    ) -> tuple[torch.Tensor, Any]:
        """Take one step, as `forward` does of sequences of one step, and in less time.

        Args:
            features: `[B, F]`.
            hx: As for `forward`.
            episode_starts: `[B]` bool, true where the step is the first of its episode, or the
                `EpisodePlan` of it; None for no start.

        Returns:
            Outputs `[B, hidden]`, and the state after the step, which may share their memory.

        Raises:
            TypeError: If `hx` is not a state.
            ValueError: If the hidden state has another size than the layer, or the layer has
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
                f"{type(self).__name__}: expected neither bidirectional nor proj_size to take one "
                "step. Call forward() with sequences of one step."
            )
        before = None if hx is None else self._parts(hx)
        outputs, after = self.step_parts(features, before, episode_starts)
        return outputs, self._state(after)

    @uncompiled
    def step_parts(
        self,
        features: torch.Tensor,
        before: Parts | None,
        episode_starts: torch.Tensor | EpisodePlan | None,
    ) -> tuple[torch.Tensor, Parts]:
        """Take one step as `step` does, from and to the parts of a state.

        Args:
            features: `[B, F]`.
            before: Parts of the state before the step; None for the initial state.
            episode_starts: As for `step`.
        """
        parts = self._state_before(features.shape[0], before, episode_starts)
        return self._run(self._run_cells, features, parts)

    def _run(
        self, kernel: Callable[[Any, Any], tuple[Any, Any]], inputs: Any, state: Any
    ) -> tuple[Any, Any]:
        by_onednn = self.cell == "lstm"
        return run_where_supported(kernel, inputs, state, self.weight_hh_l0, by_onednn=by_onednn)

    # enforces C11
    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        names = [prefix + name for name in self.learned_names]
        weight = state_dict.get(f"{prefix}weight_hh_l0")
        if self.learns_initial_state and weight is not None and not state_dict.keys() & names:
            shape = (self.num_layers, self.hidden_size)
            state_dict |= {name: weight.new_zeros(shape) for name in names}
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _given_or_learned(self, inputs: torch.Tensor | PackedSequence, hx: Any) -> Any:
        if hx is not None or not self.learns_initial_state:
            return hx
        if isinstance(inputs, PackedSequence):
            return self._state(self.initial_parts(int(inputs.batch_sizes[0])))
        if inputs.dim() == 2:
            return self._state(tuple(part[:, 0] for part in self.initial_parts(1)))
        return self._state(self.initial_parts(inputs.shape[0 if self.batch_first else 1]))

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
                f"or proj_size. Pass padded, batched inputs to a plain {self.mode} to use episode "
                "starts."
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
        self, batch_size: int, parts: Parts | None, starts: torch.Tensor | EpisodePlan | None
    ) -> Parts:
        """Return the state before step 0: the initial one where a row starts an episode there.

        The starts are those of step 0, `[B]`, or a plan.
        """
        if parts is None:
            return self.initial_parts(batch_size)
        shape = (self.num_layers, batch_size, self.hidden_size)
        for name, part in zip("hc", parts, strict=False):
            if part.shape != shape:
                raise ValueError(
                    f"hx: expected {name} of [layers, B, hidden] = {list(shape)}, got "
                    f"{list(part.shape)}."
                )
        if starts is None:
            return parts
        if not self.learns_initial_state and _none_starts(starts):
            return parts
        device = parts[0].device
        if isinstance(starts, EpisodePlan):
            first = starts.first(device)
        else:
            first = starts.to(device).unsqueeze(1)
        if not self.learns_initial_state:
            return tuple(part.masked_fill(first, 0) for part in parts)
        # Also where no row starts: DistributedDataParallel wants every parameter in the graph.
        initial = self.initial_parts(batch_size)
        return tuple(torch.where(first, new, old) for new, old in zip(initial, parts, strict=True))

    def _run_cells(self, features: torch.Tensor, state: Parts) -> tuple[torch.Tensor, Parts]:
        """Take one step without the set-up of a sequence, which would take longer than the step."""
        dtype = compute_dtype(self.weight_hh_l0)
        if features.dtype != dtype or state[0].dtype != dtype:
            features = features.to(dtype)
            state = tuple(part.to(dtype) for part in state)
        after: list[Parts] = []
        for layer, weights in enumerate(self.all_weights):
            if layer:
                features = nn.functional.dropout(features, self.dropout, self.training)
            before = tuple([part.select(0, layer) for part in state])
            after.append(self._run_cell(features, before, weights))
            features = after[-1][0]
        if len(after) == 1:
            return features, tuple([part.unsqueeze(0) for part in after[0]])
        return features, tuple(torch.stack(parts) for parts in zip(*after, strict=True))

    def _run_rows(self, sequences: torch.Tensor, state: Parts) -> tuple[torch.Tensor, Parts]:
        """Run rows without a start after step 0 as PyTorch does; the places are time-major."""
        inputs = sequences if self.batch_first else sequences.transpose(0, 1)
        outputs, after = super().forward(inputs, self._state(state))
        outputs = outputs.transpose(0, 1) if self.batch_first else outputs
        return outputs.flatten(0, 1), self._parts(after)

    def _run_lanes(
        self, steps: torch.Tensor, state: Parts, layout: Layout
    ) -> tuple[torch.Tensor, Parts]:
        """Run the steps `[B * T, F]` in their lanes, one fused call a layer."""
        kinds = layout.kinds.to(self.weight_ih_l0.dtype)
        columns = self._columns(kinds)
        stream, before = insert_separators(steps, layout), self._lane_states(state, layout)
        after: list[Parts] = []
        for layer in range(self.num_layers):
            if layer:
                stream = self._between_layers(stream, kinds)
            stream, ended = self._run_layer(layer, torch.cat([stream, columns], dim=1), before)
            after.append(ended)
        joined = (torch.cat(parts) for parts in zip(*after, strict=True))
        return stream, tuple(part.index_select(1, layout.last) for part in joined)

    def _lane_states(self, state: Parts, layout: Layout) -> Parts:
        """Return the states before the lanes: the rows', then for lanes that begin afresh."""
        rows = state[0].shape[1]
        if not self.learns_initial_state:
            more = (0, 0, 0, layout.lanes - rows)
            return tuple(nn.functional.pad(part, more) for part in state)
        fresh = layout.fresh[rows:, None]  # type: ignore[index]  # there is one, as a state is learned
        return tuple(
            torch.cat([given, torch.where(fresh, initial, torch.zeros_like(initial))], dim=1)
            for given, initial in zip(state, self.initial_parts(layout.lanes - rows), strict=True)
        )

    def _between_layers(self, stream: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        """Give the next layer no features at separators, and apply the dropout between layers."""
        if self.learns_initial_state:  # a written state shows in the outputs; a zeroed one does not
            stream = stream * kinds[:, :1]
        return nn.functional.dropout(stream, self.dropout, self.training)

    def _run_layer(
        self, layer: int, stream: torch.Tensor, before: Parts
    ) -> tuple[torch.Tensor, Parts]:
        lanes = before[0].shape[1]
        closing = saturation(self.all_weights[layer], compute_dtype(self.weight_hh_l0))
        weights = self._augmented_weights(layer, closing)
        outputs, after = self._run_fused(
            stream.view(-1, lanes, stream.shape[1]),
            tuple(part[layer : layer + 1].to(stream.dtype).contiguous() for part in before),
            in_one_buffer(weights) if stream.is_cuda else weights,
        )
        return outputs.flatten(0, 1), after


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
