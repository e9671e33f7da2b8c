"""What a policy chooses: named heads, each categorical or Gaussian."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass

from tamiyo_rl.checks import require_positive


@dataclass(frozen=True)
class Gaussian:
    """A continuous head: a normal distribution over `size` independent numbers.

    The network gives the mean. The logarithm of the standard deviation is a parameter, the same in
    every state, and begins at 0 (Schulman et al. 2015, arXiv:1502.05477, appendix D).

    Attributes:
        size: Numbers of the action, D.

    Raises:
        ValueError: If `size` is below 1.

    Examples:
        ```python
        import torch
        from tamiyo_rl import Gaussian, LSTMPolicyBundle

        bundle = LSTMPolicyBundle(feature_dim=4, action_dims={"gear": 3, "torque": Gaussian(2)})
        step = bundle.get_action(torch.zeros(8, 4))
        print(list(step.action["gear"].shape), list(step.action["torque"].shape))
        print(list(step.joint_log_prob.shape))
        ```

        ```text
        [8] [8, 2]
        [8]
        ```
    """

    size: int

    def __post_init__(self) -> None:
        """Refuse a size that is none."""
        require_positive(size=self.size)


ActionDims = Mapping[str, int | Gaussian]


def require_action_dims(action_dims: int | Gaussian | ActionDims) -> dict[str, int | Gaussian]:
    """Return what each head chooses; what is no mapping is one head named `action`."""
    by_head = action_dims if isinstance(action_dims, Mapping) else {"action": action_dims}
    if not by_head:
        raise ValueError("action_dims: expected at least one head, got an empty mapping.")
    for name in by_head:
        if not isinstance(name, str):
            raise TypeError(f"action_dims: expected heads named by strings, got {name!r}.")
    require_positive(**{f'action_dims["{name}"]': n for name, n in categorical(by_head).items()})
    return {name: _plain(dims) for name, dims in by_head.items()}


def _plain(dims: int | Gaussian) -> int | Gaussian:
    return dims if isinstance(dims, Gaussian) else operator.index(dims)


def categorical(action_dims: ActionDims) -> dict[str, int]:
    """Return the number of actions of each head that has one; these are the heads with masks."""
    return {name: dims for name, dims in action_dims.items() if not isinstance(dims, Gaussian)}


def gaussian(action_dims: ActionDims) -> dict[str, int]:
    """Return the size of each continuous head."""
    return {name: dims.size for name, dims in action_dims.items() if isinstance(dims, Gaussian)}
