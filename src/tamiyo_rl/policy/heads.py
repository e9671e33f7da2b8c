"""Masked, factored categorical actions: every head is computed in the same few operations."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tamiyo_rl.policy.inputs import require_action_dims

# Measured on a CPU with AVX-512: below 16 actions the softmax over the last dimension is slow, and
# from about 256 steps on, moving the dimensions takes less time than it saves.
FEW_ACTIONS = 16
MANY_STEPS = 256


class ActionHeads:
    """The distribution of named, independent categorical heads over one row of logits.

    The heads lie side by side in the logits. They are laid out as `[..., heads, widest]`, padded
    with -inf, so that one softmax, one draw and one gather serve all of them. A masked action
    has logit -inf: its probability is exactly 0, and gradients stay finite (C9).

    Args:
        action_dims: Number of actions by head; an int is one head named `"action"`.

    Raises:
        TypeError: If a head is not named by a string.
        ValueError: If there is no head, or one has no action.

    Examples:
        ```python
        import torch
        from tamiyo_rl.policy import ActionHeads

        heads = ActionHeads({"op": 2, "slot": 3})
        masks = {
            "op": torch.tensor([[True, True]]),
            "slot": torch.tensor([[False, True, False]]),
        }
        log_probs = heads.log_probs(torch.zeros(1, 5), masks)
        print(heads.split(log_probs)["op"].exp().tolist())
        print(heads.by_name(heads.sample(log_probs))["slot"].tolist())
        print(heads.by_name(heads.entropy(log_probs))["slot"].tolist())
        ```

        ```text
        [[0.5, 0.5]]
        [1]
        [-0.0]
        ```
    """

    def __init__(self, action_dims: int | Mapping[str, int]) -> None:
        self.action_dims = require_action_dims(action_dims)
        self._sizes = list(self.action_dims.values())
        self._widest = max(self._sizes)
        self._ragged = len(set(self._sizes)) > 1

    @property
    def total(self) -> int:
        """Number of logits: the actions of all heads together."""
        return sum(self._sizes)

    # enforces C9
    def masked_logits(
        self, logits: torch.Tensor, masks: Mapping[str, torch.Tensor] | None
    ) -> torch.Tensor:
        """Lay the logits out by head, with -inf where an action is masked.

        Args:
            logits: `[..., total]`.
            masks: By head, `[..., N]` bool: true where the action is valid. None for no mask.

        Returns:
            `[..., heads, widest]`.
        """
        if masks is not None:
            valid = torch.cat([masks[name] for name in self.action_dims], dim=-1)
            logits = logits.masked_fill(~valid, -torch.inf)
        if not self._ragged:
            return logits.view(*logits.shape[:-1], len(self._sizes), self._widest)
        pieces = [
            torch.nn.functional.pad(piece, (0, self._widest - piece.shape[-1]), value=-torch.inf)
            for piece in logits.split(self._sizes, dim=-1)
        ]
        return torch.stack(pieces, dim=-2)

    def log_probs(
        self, logits: torch.Tensor, masks: Mapping[str, torch.Tensor] | None
    ) -> torch.Tensor:
        """Log-probabilities `[..., heads, widest]` in nats; arguments as `masked_logits`."""
        return log_softmax(self.masked_logits(logits, masks))

    # enforces C12
    def sample(self, log_probs: torch.Tensor) -> torch.Tensor:
        """Draw one action for every head at once, `[..., heads]`.

        The largest of `p_i / e_i`, with `e_i` exponential noise, is a draw from `p` (the
        exponential race; the Gumbel-max trick in another form). One draw serves all heads, and
        nothing waits for the device.
        """
        noise = torch.empty_like(log_probs).exponential_()
        race = log_probs.exp().div_(noise.clamp_min_(torch.finfo(noise.dtype).tiny))
        return race.argmax(dim=-1)

    def mode(self, log_probs: torch.Tensor) -> torch.Tensor:
        """Return the most probable action of every head, `[..., heads]`."""
        return log_probs.argmax(dim=-1)

    def stack(self, actions: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Stack actions by head into `[..., heads]` int64."""
        return torch.stack([actions[name].long() for name in self.action_dims], dim=-1)

    def log_prob(self, log_probs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Log-probability of the actions `[..., heads]` by head, `[..., heads]`."""
        return log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    def entropy(self, log_probs: torch.Tensor) -> torch.Tensor:
        """Entropy of every head in nats, `[..., heads]`; a masked action adds nothing."""
        finite = log_probs.clamp_min(-1e4)  # 0 * -inf is NaN; exp(-1e4) is 0 in every type
        return -(log_probs.exp() * finite).sum(dim=-1)

    def by_name(self, stacked: torch.Tensor) -> dict[str, torch.Tensor]:
        """Give `[..., heads]` back by the names of the heads."""
        return dict(zip(self.action_dims, stacked.unbind(-1), strict=True))

    def split(self, padded: torch.Tensor) -> dict[str, torch.Tensor]:
        """Give `[..., heads, widest]` back by name, without the padding."""
        heads = zip(self.action_dims.items(), padded.unbind(-2), strict=True)
        return {name: head[..., :size] for (name, size), head in heads}


def log_softmax(logits: torch.Tensor) -> torch.Tensor:
    """Return `logits.log_softmax(-1)`, over few actions of many steps in less time.

    On the CPU the softmax over a short last dimension is slow: eight actions take longer than
    sixteen. Over the first dimension it is not.

    Args:
        logits: `[..., N]`.
    """
    actions = logits.shape[-1]
    if actions < FEW_ACTIONS and logits.numel() >= MANY_STEPS * actions and logits.is_cpu:
        return logits.movedim(-1, 0).log_softmax(dim=0).movedim(0, -1)
    return logits.log_softmax(dim=-1)
