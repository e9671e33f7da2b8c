"""Gymnasium spaces as RLlib batches them: tensors `[B, T, ...]`, and distributions of actions."""

from __future__ import annotations

from typing import Any

import torch
import tree
from gymnasium import Space, spaces
from ray.rllib.core.distribution.torch.torch_distribution import (
    TorchCategorical,
    TorchDiagGaussian,
    TorchMultiCategorical,
    TorchMultiDistribution,
)

MASK = "action_mask"
ACTIONS = "Discrete and MultiDiscrete that count from 0, Box [N], or Dict of them"


def without_mask(space: Space[Any]) -> Space[Any]:
    """Return the space of what the policy sees: all parts but the mask.

    Args:
        space: The space of the observations.
    """
    if not isinstance(space, spaces.Dict) or MASK not in space.spaces:
        return space
    return spaces.Dict({key: sub for key, sub in space.items() if key != MASK})


def require_mask(space: Space[Any], num_logits: int) -> bool:
    """Tell whether the observations hold a mask, or raise if it does not fit.

    Args:
        space: The space of the observations.
        num_logits: Actions of all categorical heads.

    Raises:
        ValueError: If the mask is of another size, or of values other than 0 and 1.
    """
    if not isinstance(space, spaces.Dict) or MASK not in space.spaces:
        return False
    mask = space[MASK]
    size = (num_logits,)
    is_unit = isinstance(mask, spaces.Box) and not mask.low.any() and (mask.high == 1).all()
    is_binary = isinstance(mask, spaces.MultiBinary) or mask == spaces.MultiDiscrete(
        [2] * num_logits
    )
    if mask.shape != size or not (is_unit or is_binary):
        raise ValueError(
            f"observation_space[{MASK!r}]: expected MultiBinary({num_logits}), a flag for each "
            f"action of all heads, got {mask}."
        )
    return True


def features_of(space: Space[Any], observations: Any) -> torch.Tensor:
    """Flatten observations to features `[B, T, F]`, in the order of `SpaceAdapter`.

    Args:
        space: The space of one observation.
        observations: Tensors `[B, T, ...]`, nested as the space is.
    """
    if isinstance(space, spaces.Dict):
        parts = [features_of(sub, observations[key]) for key, sub in space.items()]
        return torch.cat(parts, dim=-1)
    if isinstance(space, spaces.Tuple):
        parts = [features_of(sub, part) for sub, part in zip(space, observations, strict=True)]
        return torch.cat(parts, dim=-1)
    flat = observations.reshape(*observations.shape[:2], -1)
    if isinstance(space, spaces.Discrete):
        return _one_hot(flat, [int(space.start)], [int(space.n)])
    if isinstance(space, spaces.MultiDiscrete):
        return _one_hot(flat, space.start.flatten().tolist(), space.nvec.flatten().tolist())
    return flat.float()


def _one_hot(values: torch.Tensor, starts: list[int], sizes: list[int]) -> torch.Tensor:
    """Encode each value `[B, T, n]` one-hot; the zeros that pad a row may be in no space."""
    columns = [
        value.unsqueeze(-1) == torch.arange(start, start + size, device=value.device)
        for value, start, size in zip(values.unbind(-1), starts, sizes, strict=True)
    ]
    return torch.cat(columns, dim=-1).float()


def distribution_of(space: Space[Any], path: str = "action_space") -> tuple[Any, int]:
    """Return RLlib's class of distributions over a space, and how many inputs it takes.

    Args:
        space: The space of the actions.
        path: How errors name it.

    Raises:
        ValueError: If RLlib cannot act in it.
    """
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return TorchCategorical, int(space.n)
    if isinstance(space, spaces.MultiDiscrete) and len(space.shape) == 1 and not space.start.any():
        sizes = space.nvec.tolist()
        return TorchMultiCategorical.get_partial_dist_cls(space=space, input_lens=sizes), sum(sizes)
    if isinstance(space, spaces.Box) and space.shape and len(space.shape) == 1:
        return TorchDiagGaussian, 2 * space.shape[0]
    if isinstance(space, spaces.Dict) and list(space) == sorted(space):  # RLlib sorts the keys
        return _joint(space, path)
    raise ValueError(f"{path}: expected {ACTIONS}, got {space}.")


class JointDistribution(TorchMultiDistribution):
    """RLlib's, which takes the one step of a recurrent rollout for a dimension of the action."""

    def logp(self, value: Any) -> torch.Tensor:
        """Return the log-probability `[B, T]` of a dict of actions."""
        pairs = zip(tree.flatten(value), self._flat_child_distributions, strict=True)
        parts = [part.logp(chosen) for chosen, part in pairs]
        return torch.stack([part.reshape(*part.shape[:2], -1).sum(dim=-1) for part in parts]).sum(0)

    def to_deterministic(self) -> JointDistribution:
        """Return the distribution that always gives the most probable actions."""
        parts = [part.to_deterministic() for part in self._flat_child_distributions]
        return JointDistribution(tree.unflatten_as(self._original_struct, parts))


def _joint(space: spaces.Dict, path: str) -> tuple[Any, int]:
    parts = {key: distribution_of(sub, f"{path}[{key!r}]") for key, sub in space.items()}
    sizes = {key: size for key, (_, size) in parts.items()}
    joint = JointDistribution.get_partial_dist_cls(
        space=space,
        child_distribution_cls_struct={key: kind for key, (kind, _) in parts.items()},
        input_lens=sizes,
    )
    return joint, sum(sizes.values())
