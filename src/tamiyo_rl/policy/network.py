"""The network behind the bundle: tensors in, tensors out, no checks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import nn

from tamiyo_rl.recurrent.episode_plan import Cell, EpisodePlan
from tamiyo_rl.recurrent.episodic_gru import EpisodicGRU
from tamiyo_rl.recurrent.episodic_lstm import EpisodicLSTM
from tamiyo_rl.recurrent.episodic_rnn import EpisodicRNN, Parts, uncompiled
from tamiyo_rl.recurrent.hidden_state import HiddenState

Critic = Literal["shared", "separate"]
CORES: Mapping[Cell, type[EpisodicLSTM | EpisodicGRU]] = {"lstm": EpisodicLSTM, "gru": EpisodicGRU}


class FactoredRecurrentActorCritic(nn.Module):
    """Encoder, one or two recurrent cores, and heads for the policy and the value.

    It is unguarded: what it is given goes straight to PyTorch. `LSTMPolicyBundle` is the checked
    way to it, and sets `validate` to have NaN and infinity from the encoder refused. `forward` is
    the only way that training takes to the parameters, so that wrappers such as
    `DistributedDataParallel` see every call.

    Args:
        feature_dim: Features of one step, F.
        num_actions: Logits of the categorical heads together.
        num_means: Numbers of the Gaussian heads together.
        hidden_dim: Width of a core.
        num_lstm_layers: Stacked layers of a core.
        cell: `"lstm"` or `"gru"`, the kind of core.
        learn_initial_hidden: Whether a core learns its initial state.
        critic: `"shared"` for a value that reads the policy's core, `"separate"` for a core of its
            own, `critic_core`.
        head_dims: Widths of the layers between a core and the output of each head.
        encoder: Maps `[N, F]` to `[N, E]`, before the core; None passes the features on.

    Attributes:
        core: The `EpisodicLSTM` or `EpisodicGRU` of the policy.
        critic_core: That of the value; None if it is shared.
        log_std: Logarithms of the standard deviations of the Gaussian heads, `[num_means]`; None
            without them.

    Examples:
        ```python
        import torch
        from tamiyo_rl.policy import FactoredRecurrentActorCritic

        network = FactoredRecurrentActorCritic(feature_dim=4, num_actions=5, hidden_dim=8)
        logits, value, hidden = network(torch.zeros(2, 7, 4))
        print(list(logits.shape), list(value.shape), list(hidden.h.shape))
        ```

        ```text
        [2, 7, 5] [2, 7] [1, 2, 8]
        ```
    """

    validate = False

    def __init__(
        self,
        feature_dim: int,
        num_actions: int,
        num_means: int = 0,
        *,
        hidden_dim: int = 128,
        num_lstm_layers: int = 1,
        cell: Cell = "lstm",
        learn_initial_hidden: bool = False,
        critic: Critic = "shared",
        head_dims: Sequence[int] = (),
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.encoder = nn.Identity() if encoder is None else encoder
        make_core = partial(
            CORES[cell],
            encoded_dim(self.encoder, feature_dim),
            hidden_dim,
            num_lstm_layers,
            batch_first=True,
            learn_initial_state=learn_initial_hidden,
        )
        self.core = make_core()
        self.critic_core = make_core() if critic == "separate" else None
        self.head_dims = tuple(head_dims)
        self.policy_head = make_head(hidden_dim, head_dims, num_actions + num_means)
        self.value_head = make_head(hidden_dim, head_dims, 1)
        self.log_std = nn.Parameter(torch.zeros(num_means)) if num_means else None
        self._initialise()

    @property
    def cores(self) -> list[EpisodicRNN]:
        """The core of the policy, and that of the value if it has its own."""
        return [self.core] if self.critic_core is None else [self.core, self.critic_core]

    def initial_state(self, batch_size: int) -> HiddenState:
        """Return the differentiable state at the start of an episode.

        Args:
            batch_size: Rows of the state, B.

        Returns:
            `[layers, B, hidden]`; the layers of a separate critic follow those of the policy.
        """
        return join_states([core.initial_parts(batch_size) for core in self.cores])

    def forward(
        self,
        features: torch.Tensor,
        hidden: HiddenState | None = None,
        episode_starts: torch.Tensor | EpisodePlan | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, HiddenState]:
        """Return what the heads read, the value `[B, T]` and the last hidden state.

        The heads read `[B, T, num_actions + 2 * num_means]`: logits, means, and the logarithms of
        the standard deviations.

        Args:
            features: `[B, T, F]`; or `[B, F]`, one step, whose outputs have no `T` either.
            hidden: State before step 0; None for the initial state.
            episode_starts: `[B, T]` bool, `[B]` for one step, or an `EpisodePlan`; None for no
                start.
        """
        run = self._step if features.dim() == 2 else self._sequences
        result: tuple[torch.Tensor, torch.Tensor, HiddenState] = run(
            self._encode(features), hidden, episode_starts
        )
        return result

    def _encode(self, features: torch.Tensor) -> torch.Tensor:
        if isinstance(self.encoder, nn.Identity):
            return features
        rows = features if features.dim() == 2 else features.flatten(0, 1)
        encoded: torch.Tensor = self.encoder(rows)
        return encoded.view(*features.shape[:-1], -1)

    # The encoder is what compiling pays for; the places of the lanes differ from call to call.
    @uncompiled
    def _sequences(
        self,
        encoded: torch.Tensor,
        hidden: HiddenState | None,
        episode_starts: torch.Tensor | EpisodePlan | None,
    ) -> tuple[torch.Tensor, torch.Tensor, HiddenState]:
        self._require_finite(encoded)
        runs = [
            core.forward_in_lanes(encoded, own, episode_starts)
            for core, own in zip(self.cores, self._states(hidden), strict=True)
        ]
        # Two products: in one, a loss on the value alone would seem to reach the policy's head.
        outputs = runs[0].to_batch(self.policy_head(runs[0].outputs))
        value = runs[-1].to_batch(self.value_head(runs[-1].outputs))
        after = join_states([run.after for run in runs])
        return self._with_deviations(outputs), value.squeeze(-1), after

    @uncompiled
    def _step(
        self,
        encoded: torch.Tensor,
        hidden: HiddenState | None,
        episode_starts: torch.Tensor | EpisodePlan | None,
    ) -> tuple[torch.Tensor, torch.Tensor, HiddenState]:
        self._require_finite(encoded)
        runs = [
            core.step_parts(encoded, own, episode_starts)
            for core, own in zip(self.cores, self._states(hidden), strict=True)
        ]
        outputs = self._with_deviations(self.policy_head(runs[0][0]))
        value = self.value_head(runs[-1][0])
        return outputs, value.squeeze(-1), join_states([after for _, after in runs])

    def _with_deviations(self, outputs: torch.Tensor) -> torch.Tensor:
        """Append the logarithms of the deviations, so that a wrapper sees all parameters used."""
        if self.log_std is None:
            return outputs
        return torch.cat([outputs, self.log_std.expand(*outputs.shape[:-1], -1)], dim=-1)

    def _states(self, hidden: HiddenState | None) -> Sequence[Parts | None]:
        """Return the parts of the state of each core."""
        if hidden is None:
            return [None] * len(self.cores)
        if self.critic_core is None:
            return [hidden.parts]
        return list(zip(*(part.chunk(2) for part in hidden.parts), strict=True))

    def _require_finite(self, encoded: torch.Tensor) -> None:
        """Refuse NaN from an encoder: it would spread to the rows behind it in the same lane."""
        if self.validate and not isinstance(self.encoder, nn.Identity):
            require_finite_encoding(encoded)

    def _initialise(self) -> None:
        """Start with a state that lasts, and an almost uniform policy."""
        for core in self.cores:
            open_gates(core)
        policy = last_layer(self.policy_head)
        with torch.no_grad():
            policy.weight.mul_(0.01)
        nn.init.zeros_(policy.bias)
        nn.init.zeros_(last_layer(self.value_head).bias)


def make_head(inputs: int, hidden_dims: Sequence[int], outputs: int) -> nn.Sequential | nn.Linear:
    """Make a linear head, behind layers with ReLU where there are `hidden_dims`."""
    sizes = (inputs, *hidden_dims)
    hidden = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
    output = nn.Linear(sizes[-1], outputs)
    return nn.Sequential(*hidden, output) if hidden else output


def open_gates(core: EpisodicRNN) -> None:
    """Add 1 to the bias of the gate that keeps the state, so that it lasts from the first step.

    In an LSTM that is the forget gate (Gers et al. 2000, "Learning to Forget"; Jozefowicz et al.
    2015, "An Empirical Exploration of Recurrent Network Architectures", section 4), in a GRU the
    update gate. PyTorch has each of them second.
    """
    keeping = slice(core.hidden_size, 2 * core.hidden_size)
    with torch.no_grad():
        for layer in range(core.num_layers):
            core.get_parameter(f"bias_ih_l{layer}")[keeping] += 1.0


def last_layer(head: nn.Sequential | nn.Linear) -> nn.Linear:
    """Return the layer that gives the output of a head."""
    return head if isinstance(head, nn.Linear) else cast("nn.Linear", head[-1])


def join_states(states: Sequence[Parts]) -> HiddenState:
    """Put the layers of one state after those of the other."""
    if len(states) == 1:
        return HiddenState(*states[0])
    return HiddenState(*(torch.cat(parts) for parts in zip(*states, strict=True)))


def require_finite_encoding(encoded: torch.Tensor) -> None:
    """Raise where the encoder returned NaN or infinity, naming the row and the step.

    Args:
        encoded: `[B, T, E]`, or `[B, E]` of one step.
    """
    if encoded.is_meta or math.isfinite(encoded.detach().sum().item()):
        return
    wrong = (~encoded.isfinite()).nonzero().tolist()
    if wrong:  # else the sum overflowed
        place = tuple(wrong[0])
        step = place[1] if encoded.dim() == 3 else 0
        raise ValueError(
            f"encoder: expected to return finite numbers, got {encoded[place].item()} for row "
            f"{place[0]} at step {step}. Look for a logarithm, a root or a division of its "
            "features."
        )


def encoded_dim(encoder: nn.Module, feature_dim: int) -> int:
    """Measure the width that `encoder` gives, without changing its training state or statistics.

    Raises:
        ValueError: If the encoder does not map `[N, feature_dim]` to `[N, E]`.
    """
    if isinstance(encoder, nn.Identity):
        return feature_dim
    try:
        encoded: object = _probe(encoder, feature_dim)
    except Exception as error:
        raise _misfit(feature_dim, f"{type(error).__name__}: {error}") from error
    if not isinstance(encoded, torch.Tensor):
        raise _misfit(feature_dim, type(encoded).__name__)
    if encoded.dim() != 2 or encoded.shape[0] != 2 or not encoded.shape[1]:
        raise _misfit(feature_dim, str(list(encoded.shape)))
    if not encoded.is_floating_point():
        raise _misfit(feature_dim, str(encoded.dtype))
    return int(encoded.shape[1])


def _probe(encoder: nn.Module, feature_dim: int) -> torch.Tensor:
    """Encode two rows of zeros in evaluation mode, and restore the modes."""
    modes = [(module, module.training) for module in encoder.modules()]
    parameter = next(encoder.parameters(), torch.empty(0))
    probe = torch.zeros(2, feature_dim, dtype=parameter.dtype, device=parameter.device)
    try:
        with torch.no_grad():
            return encoder.eval()(probe)  # type: ignore[no-any-return]  # the caller checks what it returns
    finally:
        for module, training in modes:
            module.training = training


def _misfit(feature_dim: int, got: str) -> ValueError:
    return ValueError(
        f"encoder: expected a module that maps [N, {feature_dim}] to [N, E], got {got} for "
        f"[2, {feature_dim}]."
    )


def unwrap(network: nn.Module) -> nn.Module:
    """Return the module inside wrappers that hold it as `.module`."""
    while not isinstance(network, FactoredRecurrentActorCritic):  # the usual case, and fast
        inner = getattr(network, "module", None)
        if not isinstance(inner, nn.Module):
            break
        network = inner
    return network


def require_same_sizes(module: FactoredRecurrentActorCritic, sizes: Mapping[str, object]) -> None:
    """Raise where a network has another size than these, by name.

    Args:
        module: The network.
        sizes: Any of `feature_dim`, `hidden_dim`, `num_lstm_layers`, `cell`,
            `learn_initial_hidden`, `critic`, `head_dims`, `number of actions` and `number of
            continuous actions`. An encoder may take any number of features.
    """
    core = module.core
    encodes = not isinstance(module.encoder, nn.Identity)
    num_means = 0 if module.log_std is None else module.log_std.numel()
    own = {
        "feature_dim": sizes["feature_dim"] if encodes else core.input_size,
        "hidden_dim": core.hidden_size,
        "num_lstm_layers": core.num_layers,
        "cell": core.cell,
        "learn_initial_hidden": core.learns_initial_state,
        "critic": "shared" if module.critic_core is None else "separate",
        "head_dims": module.head_dims,
        "number of actions": last_layer(module.policy_head).out_features - num_means,
        "number of continuous actions": num_means,
    }
    for name, size in sizes.items():
        if own[name] != size:
            raise ValueError(f"network: expected {name}={size} as the bundle has, got {own[name]}.")


def require_one_place(module: FactoredRecurrentActorCritic) -> None:
    """Raise where a parameter, of an encoder perhaps, is not where and what the others are."""
    weight = module.core.weight_hh_l0
    for name, parameter in module.named_parameters():
        if (parameter.device, parameter.dtype) != (weight.device, weight.dtype):
            raise ValueError(
                f"network: expected every parameter on {weight.device} in {weight.dtype}, got "
                f"{name} on {parameter.device} in {parameter.dtype}. Move all of them with "
                "bundle.to(device, dtype)."
            )
