"""The checks of the bundle's calls, which refuse bad input before anything runs (C10)."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import NamedTuple, cast, get_args

import torch

from tamiyo_rl.checks import FLOAT_DTYPES, describe, require_positive, require_shape
from tamiyo_rl.policy.action_dims import ActionDims, Gaussian, categorical
from tamiyo_rl.policy.network import Critic
from tamiyo_rl.recurrent.episode_plan import Cell, EpisodePlan
from tamiyo_rl.recurrent.hidden_state import HiddenState

# Cast to the policy's own type without a surprise; int32 and int64 would lose digits in float32.
FEATURE_DTYPES = FLOAT_DTYPES | {torch.bool, torch.uint8, torch.int8, torch.int16}
INDEX_DTYPES = frozenset(
    {torch.int64, torch.int32, torch.int16, torch.int8}
    | {torch.uint64, torch.uint32, torch.uint16, torch.uint8}
)


class InputChecks(NamedTuple):
    """The shapes, types and values that one bundle accepts.

    Attributes:
        feature_dim: Features of one step.
        action_dims: Number of actions by head, or a `Gaussian`.
        num_layers: Layers of the hidden state.
        hidden_dim: Width of the hidden state.
        cell: Whose state it is.
        device: Device of the parameters.
        dtype: Floating point type of the parameters.
        read_values: Whether to read values too (range, NaN, masks); CUDA waits for that.
        steps: Sizes of the leading dimensions, `(B,)` or `(B, T)`.
    """

    feature_dim: int
    action_dims: ActionDims
    num_layers: int
    hidden_dim: int
    cell: Cell
    device: torch.device
    dtype: torch.dtype
    read_values: bool
    steps: tuple[int, ...]

    def features(self, features: torch.Tensor) -> torch.Tensor:
        """Return the features in the policy's dtype."""
        if features.dtype not in FEATURE_DTYPES:
            raise TypeError(
                f"features: expected floating point, bool or integers of at most 16 bits, got "
                f"{features.dtype}. Convert them with .to({self.dtype})."
            )
        self._require_device("features", features)
        cast = features.to(self.dtype)  # first: a number may be finite only in its own type
        self._require_finite("features", cast)
        return cast

    def hidden(self, hidden: object) -> HiddenState | None:
        """Return the hidden state in the policy's dtype."""
        if hidden is None:
            return None
        if not isinstance(hidden, tuple | list) or len(hidden) != 2:
            raise TypeError(
                f"hidden: expected a pair (h, c), got {describe(hidden)}. Pass what get_action() "
                "returned as .hidden, or HiddenState(h, c)."
            )
        if self.cell == "gru" and hidden[1] is not None:
            raise TypeError(
                f'hidden.c: expected None, since the cell is "gru", got {describe(hidden[1])}. '
                "Pass HiddenState(h)."
            )
        parts = hidden[:1] if self.cell == "gru" else hidden
        return HiddenState(
            *(self._state(f"hidden.{n}", t) for n, t in zip("hc", parts, strict=False))
        )

    def plan(self, starts: object) -> EpisodePlan | None:
        """Return the plan of the episode starts, made here where a tensor was given."""
        if isinstance(starts, EpisodePlan):
            if starts.shape != self.steps:
                require_shape("episode_starts", starts.episode_starts, self._shape())
            return starts
        return None if starts is None else EpisodePlan(self.episode_starts(starts))

    def episode_starts(self, value: object) -> torch.Tensor:
        """Return the episode starts, which may lie on the CPU too."""
        starts = require_shape("episode_starts", value, self._shape())
        if starts.dtype != torch.bool:
            raise TypeError(
                f"episode_starts: expected torch.bool, got {starts.dtype}. Convert with .bool()."
            )
        if starts.device.type != "cpu":
            self._require_device("episode_starts", starts)
        return starts

    def actions(
        self, actions: object, masks: Mapping[str, torch.Tensor] | None
    ) -> dict[str, torch.Tensor]:
        """Return the actions by head, each within its range and allowed by its mask."""
        by_head = require_heads("actions", actions, self.action_dims)
        for name, dims in self.action_dims.items():
            path = f'actions["{name}"]'
            if isinstance(dims, Gaussian):
                self._numbers(path, by_head[name], dims.size)
            else:
                self._action(path, by_head[name], dims)
        if masks is not None and self.read_values:
            for name, mask in masks.items():
                self._require_allowed(f'actions["{name}"]', by_head[name], mask)
        return by_head

    # enforces C9
    def masks(self, masks: object) -> dict[str, torch.Tensor] | None:
        """Return the masks by head, each with at least one valid action."""
        if masks is None:
            return None
        sizes = categorical(self.action_dims)
        by_head = require_masks(masks, sizes)
        for name, mask in by_head.items():
            path = f'masks["{name}"]'
            require_shape(path, mask, self._shape() | {"actions": sizes[name]})
            if mask.dtype != torch.bool:
                raise TypeError(f"{path}: expected torch.bool, got {mask.dtype}. Use .bool().")
            self._require_device(path, mask)
            self._require(path, mask, mask.any(dim=-1), "a valid action in each row")
        return by_head

    def _action(self, path: str, action: torch.Tensor, size: int) -> None:
        require_shape(path, action, self._shape())
        if action.dtype not in INDEX_DTYPES:
            raise TypeError(f"{path}: expected an integer dtype, got {action.dtype}. Use .long().")
        self._require_device(path, action)
        index = action.long()
        if not self.read_values or index.is_meta or index.clamp(0, size - 1).equal(index):
            return
        in_range = (index >= 0) & (index < size)
        self._require(path, index, in_range, f"indices from 0 to {size - 1}")

    def _numbers(self, path: str, action: torch.Tensor, size: int) -> None:
        require_shape(path, action, self._shape() | {"numbers": size})
        if action.dtype not in FLOAT_DTYPES:
            raise TypeError(f"{path}: expected floating point, got {action.dtype}. Use .float().")
        self._require_device(path, action)
        self._require_finite(path, action)

    def _require_allowed(self, path: str, action: torch.Tensor, mask: torch.Tensor) -> None:
        allowed = mask.gather(-1, action.long().unsqueeze(-1)).squeeze(-1)
        self._require(path, action, allowed, "an action that its mask allows")

    def _state(self, path: str, state: torch.Tensor) -> torch.Tensor:
        shape = {"layers": self.num_layers, "batch": self.steps[0], "hidden": self.hidden_dim}
        require_shape(path, state, shape)
        if state.dtype not in FLOAT_DTYPES:
            raise TypeError(f"{path}: expected floating point, got {state.dtype}. Use .float().")
        self._require_device(path, state)
        cast = state.to(self.dtype)
        self._require_finite(path, cast)
        return cast

    def _shape(self) -> dict[str, int | None]:
        return dict(zip(("batch", "time"), self.steps, strict=False))

    def _require_device(self, path: str, tensor: torch.Tensor) -> None:
        if tensor.device != self.device:
            raise ValueError(
                f"{path}: expected a tensor on {self.device}, where the policy is, got one on "
                f"{tensor.device}. Move it with .to({str(self.device)!r})."
            )

    def _require_finite(self, path: str, tensor: torch.Tensor) -> None:
        if not self.read_values or tensor.is_meta or not tensor.is_floating_point():
            return
        if not math.isfinite(tensor.sum().item()):  # one pass; a sum of huge numbers may overflow
            self._require(path, tensor, tensor.isfinite(), "finite numbers")

    # enforces C10
    def _require(self, path: str, tensor: torch.Tensor, valid: torch.Tensor, expected: str) -> None:
        """Raise where `valid` is false anywhere, naming the first place and what stands there."""
        if not self.read_values or valid.is_meta or bool(valid.all()):
            return
        place = (~valid).nonzero()[0].tolist()
        got = tensor[tuple(place)].tolist()
        raise ValueError(f"{path}: expected {expected}, got {got} at index {place}.")


def is_usual_step(
    features: object,
    hidden: object,
    starts: object,
    *,
    sizes: tuple[int, int, int],
    cell: Cell,
    like: torch.Tensor,
    read_values: bool,
) -> bool:
    """Tell at little cost whether no check of a rollout step would refuse or convert anything.

    Args:
        features: What was passed.
        hidden: What was passed.
        starts: The `episode_starts` that were passed.
        sizes: Features of a step, layers and width of the hidden state.
        cell: Whose state it is.
        like: A parameter of the policy.
        read_values: Whether to read values too.
    """
    if type(hidden) is not HiddenState or not isinstance(features, torch.Tensor):
        return False
    feature_dim, layers, width = sizes
    rows = features.shape[0] if features.dim() == 2 else 0
    state = (layers, rows, width)
    if not (
        rows
        and _fits(features, (rows, feature_dim), like)
        and _fits(hidden.h, state, like)
        and (hidden.c is None if cell == "gru" else _fits(hidden.c, state, like))
        and (starts is None or _are_flags(starts, rows, like))
    ):
        return False
    return not read_values or all(map(_is_finite, (features, *hidden.parts)))


def _fits(value: object, shape: tuple[int, ...], like: torch.Tensor) -> bool:
    return (
        type(value) is torch.Tensor
        and value.dtype == like.dtype
        and value.device == like.device
        and value.layout == torch.strided
        and not value.is_nested
        and value.shape == shape
    )


def _are_flags(value: object, rows: int, like: torch.Tensor) -> bool:
    return (
        type(value) is torch.Tensor
        and value.dtype == torch.bool
        and (value.is_cpu or value.device == like.device)
        and value.layout == torch.strided
        and not value.is_nested
        and value.shape == (rows,)
    )


def _is_finite(tensor: torch.Tensor) -> bool:
    """Tell in one pass. A sum of huge numbers may overflow: then the slower check decides."""
    return not tensor.is_meta and math.isfinite(tensor.sum().item())


def require_steps(features: object, dims: tuple[str, ...], feature_dim: int) -> tuple[int, ...]:
    """Return the sizes of the leading dimensions of `features`, each at least 1.

    Args:
        features: What was passed.
        dims: Names of the leading dimensions.
        feature_dim: Features of one step.
    """
    shape = dict.fromkeys(dims) | {"features": feature_dim}
    steps = require_shape("features", features, shape).shape[:-1]
    if 0 in steps:
        raise ValueError(
            f"features: expected at least one row and one step, got {[*steps, feature_dim]}. "
            "Leave the call out where there is nothing to evaluate."
        )
    return steps


def require_masks(masks: object, sizes: Mapping[str, int]) -> dict[str, torch.Tensor]:
    """Return the masks of the categorical heads, in the order of the heads.

    Args:
        masks: What was passed.
        sizes: Number of actions by categorical head.
    """
    if not sizes:
        raise ValueError(
            "masks: expected None, since a mask is for categorical heads and each head here is a "
            f"Gaussian, got {describe(masks)}."
        )
    return require_heads("masks", masks, sizes)


def require_heads(
    name: str, value: object, action_dims: Mapping[str, object]
) -> dict[str, torch.Tensor]:
    """Return what `value` holds for each head, in the order of the heads.

    Args:
        name: The argument, as the error names it.
        value: What was passed.
        action_dims: The heads, by name.
    """
    if not isinstance(value, Mapping) or value.keys() != action_dims.keys():
        got = sorted(map(str, value)) if isinstance(value, Mapping) else describe(value)
        raise ValueError(
            f"{name}: expected a mapping with one tensor for each of the heads "
            f"{list(action_dims)}, got {got}."
        )
    return {head: value[head] for head in action_dims}


def require_cell(cell: object) -> Cell:
    """Return the kind of recurrent core if it is one."""
    if not isinstance(cell, str) or cell not in get_args(Cell):
        raise ValueError(f'cell: expected "lstm" or "gru", got {cell!r}.')
    return cast("Cell", cell)


def require_critic(critic: object) -> Critic:
    """Return the kind of critic if it is one."""
    if not isinstance(critic, str) or critic not in get_args(Critic):
        raise ValueError(f'critic: expected "shared" or "separate", got {critic!r}.')
    return cast("Critic", critic)


def require_head_dims(head_dims: object) -> tuple[int, ...]:
    """Return the widths of the layers of a head, each at least 1."""
    if not isinstance(head_dims, list | tuple):
        raise TypeError(f"head_dims: expected a list of widths, such as [64], got {head_dims!r}.")
    require_positive(**{f"head_dims[{i}]": width for i, width in enumerate(head_dims)})
    return tuple(map(operator.index, head_dims))
