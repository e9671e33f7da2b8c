"""The part of a bundle that holds its network: its place, its precision, its state."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Self, cast

import torch
from torch import nn

from tamiyo_rl.policy.action_heads import ActionHeads
from tamiyo_rl.policy.inputs import require_bool
from tamiyo_rl.policy.network import FactoredRecurrentActorCritic


class NetworkHolder:
    """Holds a `FactoredRecurrentActorCritic`, and forwards the methods of `nn.Module` to it.

    Attributes:
        feature_dim: Features of one step, F.
        hidden_dim: Width of the LSTM.
        num_lstm_layers: Stacked layers of the LSTM.
        learn_initial_hidden: Whether the initial state is learned.
        heads: The action heads.
    """

    feature_dim: int
    hidden_dim: int
    num_lstm_layers: int
    learn_initial_hidden: bool
    heads: ActionHeads

    @property
    def network(self) -> nn.Module:
        """The unguarded module: a `FactoredRecurrentActorCritic`, perhaps inside a wrapper.

        Settable, as in `bundle.network = DistributedDataParallel(bundle.network)`.
        """
        return self._network

    @network.setter
    def network(self, network: nn.Module) -> None:
        if not isinstance(unwrap(network), FactoredRecurrentActorCritic):
            raise TypeError(
                "network: expected a FactoredRecurrentActorCritic or a wrapper that holds one as "
                f".module, got {type(network).__name__}. To compile it call bundle.compile()."
            )
        self._require_same_sizes(network)
        self._network = network

    @property
    def action_dims(self) -> dict[str, int]:
        """Number of actions by head."""
        return self.heads.action_dims

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self._module.core.weight_hh_l0.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating point type of the parameters."""
        return self._module.core.weight_hh_l0.dtype

    @property
    def is_compiled(self) -> bool:
        """Whether the present network is compiled."""
        return getattr(self._network, "_compiled_call_impl", None) is not None

    def settings(self) -> dict[str, Any]:
        """Return the arguments that build a bundle of the same sizes, without the encoder."""
        return {
            "feature_dim": self.feature_dim,
            "action_dims": dict(self.action_dims),
            "hidden_dim": self.hidden_dim,
            "num_lstm_layers": self.num_lstm_layers,
            "learn_initial_hidden": self.learn_initial_hidden,
        }

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters, for an optimizer."""
        return self._module.parameters()

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters with their names, the same whether the network is wrapped or not."""
        return self._module.named_parameters()

    @property
    def training(self) -> bool:
        """Whether the network is in training mode (dropout on)."""
        return self.network.training

    def train(self, mode: bool = True) -> Self:
        """Set training mode (dropout on), or evaluation mode, and return the bundle.

        Args:
            mode: Whether to train.

        Raises:
            TypeError: If `mode` is not a bool.
        """
        require_bool(mode=mode)
        self.network.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode (dropout off), and return the bundle."""
        return self.train(mode=False)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or cast the network as `nn.Module.to` does, and return the bundle."""
        self.network.to(*args, **kwargs)
        return self

    def compile(self, **kwargs: Any) -> None:
        """Compile the network in place; the guard and the checks stay outside what is compiled.

        Args:
            **kwargs: The keyword arguments of `torch.compile`.
        """
        self.network.compile(**kwargs)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the network's parameters and buffers, without the names of wrappers (C11)."""
        return self._module.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, torch.Tensor]) -> None:
        """Load what `state_dict` returned; nothing changes where it does not fit (C11).

        Args:
            state_dict: Tensors by name.

        Raises:
            ValueError: If it is not the state of a network of the same sizes, saying why.
        """
        before = copy.deepcopy(self.state_dict())
        try:
            self._module.load_state_dict(state_dict)
        except Exception as error:
            self._module.load_state_dict(before)
            raise ValueError(
                "state_dict: expected what state_dict() of a bundle with the same settings "
                f"returned, got something else: {error}"
            ) from error

    @property
    def _module(self) -> FactoredRecurrentActorCritic:
        return cast("FactoredRecurrentActorCritic", unwrap(self._network))

    def _require_same_sizes(self, network: nn.Module) -> None:
        module = cast("FactoredRecurrentActorCritic", unwrap(network))
        core, encodes = module.core, not isinstance(module.encoder, nn.Identity)
        for name, own, got in (
            ("feature_dim", self.feature_dim, self.feature_dim if encodes else core.input_size),
            ("hidden_dim", self.hidden_dim, core.hidden_size),
            ("num_lstm_layers", self.num_lstm_layers, core.num_layers),
            ("learn_initial_hidden", self.learn_initial_hidden, core.learns_initial_state),
            ("number of actions", self.heads.total, module.policy_head.out_features),
        ):
            if own != got:
                raise ValueError(f"network: expected {name}={own} as the bundle has, got {got}.")

    def _require_one_place(self) -> None:
        """Raise where a parameter, of an encoder perhaps, is not where and what the others are."""
        for name, parameter in self.named_parameters():
            if (parameter.device, parameter.dtype) != (self.device, self.dtype):
                raise ValueError(
                    f"network: expected every parameter on {self.device} in {self.dtype}, got "
                    f"{name} on {parameter.device} in {parameter.dtype}. Move all of them with "
                    "bundle.to(device, dtype)."
                )


def unwrap(network: nn.Module) -> nn.Module:
    """Return the module inside wrappers that hold it as `.module`."""
    while not isinstance(network, FactoredRecurrentActorCritic):  # looked at first: it is fast
        inner = getattr(network, "module", None)
        if not isinstance(inner, nn.Module):
            break
        network = inner
    return network
