"""The part of a bundle that holds its network: where it is, how it is saved and moved."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Self, cast

import torch
from torch import nn

from tamiyo_rl.policy.action_heads import ActionHeads
from tamiyo_rl.policy.inputs import FLOAT_DTYPES, describe, is_dense, require_bool
from tamiyo_rl.policy.network import FactoredRecurrentActorCritic


class NetworkHolder:
    """Holds a `FactoredRecurrentActorCritic`, and does for it what an `nn.Module` does for itself.

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

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - as nn.Module.train
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

    def to(self, *args: Any, **kwargs: Any) -> Self:  # noqa: ANN401 - as nn.Module.to
        """Move or cast the network as `nn.Module.to` does, and return the bundle.

        Args:
            *args: A device, a floating point dtype, both, or a tensor that has them.
            **kwargs: The same by name.

        Raises:
            ValueError: If this machine has no such device, or the dtype is not one of float16,
                bfloat16, float32 and float64; the network is then where it was.
        """
        expected = "a device of this machine, or a floating point dtype of 16 to 64 bits"
        trial = nn.ParameterList([torch.empty(1, device=self.device, dtype=self.dtype)])
        try:
            dtype = trial.to(*args, **kwargs)[0].dtype
        except Exception as error:
            raise _refused("to", expected, args, kwargs) from error
        if dtype not in FLOAT_DTYPES:
            raise _refused("to", expected, args, kwargs)
        self.network.to(*args, **kwargs)
        return self

    def compile(self, **kwargs: Any) -> None:  # noqa: ANN401 - those of torch.compile
        """Compile the network in place; the guard and the checks stay outside what is compiled.

        Args:
            **kwargs: The keyword arguments of `torch.compile`.

        Raises:
            ValueError: If `torch.compile` does not take them; the network is then as it was.
        """
        try:
            self.network.compile(**kwargs)
        except Exception as error:
            raise _refused("compile", "the arguments of torch.compile", (), kwargs) from error

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the network's parameters and buffers, without the names of wrappers (C11)."""
        return self._module.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, torch.Tensor]) -> None:
        """Load what `state_dict` returned; nothing changes where it does not fit (C11).

        Args:
            state_dict: Tensors by name.

        Raises:
            TypeError: If it is not a mapping.
            ValueError: If a name is missing or unknown, or a shape or kind of number differs.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                "state_dict: expected a mapping of tensors by name, got "
                f"{describe(state_dict)}. Load a file with torch.load(path, weights_only=True)."
            )
        own, given = _entries(self.state_dict()), _entries(state_dict)
        different = [n for n in sorted(own | given, key=str) if own.get(n) != given.get(n)]
        if different:
            name = different[0]
            raise ValueError(
                f"state_dict: expected {name} of shape {own.get(name, 'none')}, got "
                f"{given.get(name, 'none')} ({len(different)} entries differ). Build the "
                "bundle with the settings it was saved with."
            )
        self._load_whole(state_dict)

    def _load_whole(self, state_dict: Mapping[str, torch.Tensor]) -> None:
        """Load all of it or nothing: what an encoder makes of its own entries may fail too."""
        before = copy.deepcopy(self.state_dict())
        try:
            self._module.load_state_dict(state_dict)
        except Exception as error:
            self._module.load_state_dict(before)
            raise ValueError(
                f"state_dict: expected what state_dict() returned, got {error}"
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


def _entries(state_dict: Mapping[str, Any]) -> dict[str, list[int] | str]:
    """Describe each entry so that two which fit are equal; extra state is its module's business."""
    return {
        name: _entry(value)
        for name, value in state_dict.items()
        if not str(name).endswith("_extra_state")
    }


def _entry(value: object) -> list[int] | str:
    """Return the shape of a floating point tensor, which is cast; else what there is instead."""
    if not is_dense(value):
        return describe(value)
    if value.is_meta:
        return "no values (meta)"
    shape = list(value.shape)
    return shape if value.is_floating_point() else f"{shape} of {value.dtype}"


def _refused(
    method: str, expected: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> ValueError:
    """Return the error of a call whose arguments PyTorch does not take."""
    given = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
    return ValueError(f"{method}: expected {expected}, got {', '.join(given)}.")


def unwrap(network: nn.Module) -> nn.Module:
    """Return the module inside wrappers that hold it as `.module`."""
    while not isinstance(network, FactoredRecurrentActorCritic):  # looked at first: it is fast
        inner = getattr(network, "module", None)
        if not isinstance(inner, nn.Module):
            break
        network = inner
    return network
