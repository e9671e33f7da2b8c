"""The heads of a policy: actions, log-probabilities and entropies by name."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence

import torch

from tamiyo_rl.policy.action_dims import (
    ActionDims,
    Gaussian,
    categorical,
    gaussian,
    require_action_dims,
)
from tamiyo_rl.policy.categorical import CategoricalHeads
from tamiyo_rl.policy.gaussian import GaussianHeads
from tamiyo_rl.policy.protocol import HeadTensors


class ActionHeads:
    """The distribution of named, independent heads over one row of a network's outputs.

    A row holds the logits of the categorical heads, then the means of the Gaussian heads, then the
    logarithms of their standard deviations; within each of the three, the heads are in their order.

    Args:
        action_dims: Number of actions by head, or a `Gaussian`; what is no mapping is one head
            named `"action"`.

    Attributes:
        action_dims: The same, by head.
        num_logits: Logits of the categorical heads together.
        num_means: Numbers of the Gaussian heads together.

    Raises:
        TypeError: If a head is not named by a string.
        ValueError: If there is no head, or one has no action.

    Examples:
        ```python
        import torch
        from tamiyo_rl import Gaussian
        from tamiyo_rl.policy import ActionHeads

        heads = ActionHeads({"op": 2, "slot": 3, "force": Gaussian(1)})
        outputs = torch.zeros(1, heads.num_logits + 2 * heads.num_means)
        masks = {
            "op": torch.tensor([[True, True]]),
            "slot": torch.tensor([[False, True, False]]),
        }
        actions, log_probs = heads.choose(outputs, masks, deterministic=True)
        print({name: action.tolist() for name, action in actions.items()})
        print({name: f"{log_prob.item():.3f}" for name, log_prob in log_probs.items()})
        ```

        ```text
        {'op': [0], 'slot': [1], 'force': [[0.0]]}
        {'op': '-0.693', 'slot': '0.000', 'force': '-0.919'}
        ```
    """

    def __init__(self, action_dims: int | Gaussian | ActionDims) -> None:
        self.action_dims = require_action_dims(action_dims)
        choices = categorical(self.action_dims)
        numbers = gaussian(self.action_dims)
        self.num_logits = sum(choices.values())
        self.num_means = sum(numbers.values())
        self.categorical = CategoricalHeads(choices) if choices else None
        self.gaussian = GaussianHeads(numbers) if numbers else None
        self._kinds = [kind for kind in (self.categorical, self.gaussian) if kind is not None]

    def choose(
        self, outputs: torch.Tensor, masks: HeadTensors | None, *, deterministic: bool
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return actions and their log-probabilities by head.

        Args:
            outputs: `[..., num_logits + 2 * num_means]`.
            masks: By categorical head, `[..., N]` bool: true where the action is valid. None for no
                mask.
            deterministic: Whether to take the most probable actions instead of samples.

        Returns:
            Actions, `[...]` int64 or `[..., D]`, and log-probabilities `[...]` in nats.
        """
        chosen = [
            kind.choose(part, masks, deterministic=deterministic)
            for kind, part in self._parts(outputs)
        ]
        return self._pairs(chosen)

    def evaluate(
        self, outputs: torch.Tensor, actions: HeadTensors, masks: HeadTensors | None
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return the log-probabilities of actions, and the entropies, by head, `[...]` in nats.

        Args:
            outputs: `[..., num_logits + 2 * num_means]`.
            actions: By head, `[...]` integers or `[..., D]`.
            masks: As for `choose`.
        """
        evaluated = [kind.evaluate(part, actions, masks) for kind, part in self._parts(outputs)]
        return self._pairs(evaluated)

    def split(self, outputs: torch.Tensor, masks: HeadTensors | None) -> dict[str, torch.Tensor]:
        """Return what the outputs say of each head.

        Args:
            outputs: `[..., num_logits + 2 * num_means]`.
            masks: As for `choose`.

        Returns:
            Masked logits `[..., N]`, or means and logarithms of the standard deviations
            `[..., 2 * D]`.
        """
        parts = [kind.parameters_by_name(part, masks) for kind, part in self._parts(outputs)]
        return self._in_order(parts)

    def _parts(
        self, outputs: torch.Tensor
    ) -> list[tuple[CategoricalHeads | GaussianHeads, torch.Tensor]]:
        if len(self._kinds) == 1:
            return [(self._kinds[0], outputs)]
        sizes = [self.num_logits, 2 * self.num_means]
        return list(zip(self._kinds, outputs.split(sizes, dim=-1), strict=True))

    def _pairs(
        self, pairs: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        if len(pairs) == 1:
            return pairs[0]
        first, second = zip(*pairs, strict=True)
        return self._in_order(first), self._in_order(second)

    def _in_order(self, parts: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Join what the kinds of heads gave, in the order of the heads."""
        joined = ChainMap(*map(dict, parts))
        return {name: joined[name] for name in self.action_dims}
