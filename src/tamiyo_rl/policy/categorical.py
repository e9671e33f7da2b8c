"""Masked, factored categorical heads: all of them are computed in the same few operations."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tamiyo_rl.policy.protocol import HeadTensors

# Measured on a CPU with AVX-512: below 16 actions the softmax over the last dimension is slow, and
# from about 256 steps on, moving the dimensions takes less time than it saves.
FEW_ACTIONS = 16
MANY_STEPS = 256


class CategoricalHeads:
    """The distribution of named, independent categorical heads over one row of logits.

    The heads lie side by side in the logits. They are laid out as `[..., heads, widest]`, padded
    with -inf, so that one softmax, one draw and one gather serve all of them. A masked action
    has logit -inf: its probability is exactly 0, and gradients stay finite (C9).

    Args:
        sizes: Number of actions by head, N.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.names = list(sizes)
        self._sizes = list(sizes.values())
        self._widest = max(self._sizes)
        self._ragged = len(set(self._sizes)) > 1

    def choose(
        self, logits: torch.Tensor, masks: HeadTensors | None, *, deterministic: bool
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return actions and their log-probabilities by head, `[...]` each.

        Args:
            logits: `[..., total]`.
            masks: As for `masked_logits`.
            deterministic: Whether to take the most probable actions instead of samples.
        """
        log_probs = self.log_probs(logits, masks)
        action = log_probs.argmax(dim=-1) if deterministic else self.sample(log_probs)
        return self._by_name(action), self._by_name(_log_prob(log_probs, action))

    def evaluate(
        self, logits: torch.Tensor, actions: HeadTensors, masks: HeadTensors | None
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return the log-probabilities of actions, and the entropies, by head, `[...]` each.

        Args:
            logits: `[..., total]`.
            actions: By head, `[...]` integers.
            masks: As for `masked_logits`.
        """
        log_probs = self.log_probs(logits, masks)
        chosen = torch.stack([actions[name].long() for name in self.names], dim=-1)
        entropy = _entropy(log_probs)
        return self._by_name(_log_prob(log_probs, chosen)), self._by_name(entropy)

    def parameters_by_name(
        self, logits: torch.Tensor, masks: HeadTensors | None
    ) -> dict[str, torch.Tensor]:
        """Return the masked logits by head, `[..., N]`; arguments as for `masked_logits`."""
        heads = self.masked_logits(logits, masks).unbind(-2)
        named = zip(self.names, self._sizes, heads, strict=True)
        return {name: head[..., :size] for name, size, head in named}

    # enforces C9
    def masked_logits(self, logits: torch.Tensor, masks: HeadTensors | None) -> torch.Tensor:
        """Lay the logits out by head, with -inf where an action is masked.

        Args:
            logits: `[..., total]`.
            masks: By head, `[..., N]` bool: true where the action is valid. None for no mask.

        Returns:
            `[..., heads, widest]`.
        """
        if masks is not None:
            valid = torch.cat([masks[name] for name in self.names], dim=-1)
            logits = logits.masked_fill(~valid, -torch.inf)
        if not self._ragged:
            return logits.view(*logits.shape[:-1], len(self._sizes), self._widest)
        pieces = [
            torch.nn.functional.pad(piece, (0, self._widest - piece.shape[-1]), value=-torch.inf)
            for piece in logits.split(self._sizes, dim=-1)
        ]
        return torch.stack(pieces, dim=-2)

    def log_probs(self, logits: torch.Tensor, masks: HeadTensors | None) -> torch.Tensor:
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

    def _by_name(self, stacked: torch.Tensor) -> dict[str, torch.Tensor]:
        """Give `[..., heads]` back by the names of the heads."""
        return dict(zip(self.names, stacked.unbind(-1), strict=True))


def _log_prob(log_probs: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of the actions `[..., heads]` by head, `[..., heads]`."""
    return log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def _entropy(log_probs: torch.Tensor) -> torch.Tensor:
    """Return the entropy of each head in nats, `[..., heads]`; a masked action adds nothing."""
    finite = log_probs.clamp_min(-1e4)  # 0 * -inf is NaN; exp(-1e4) is 0 in every type
    return -(log_probs.exp() * finite).sum(dim=-1)


def log_softmax(logits: torch.Tensor) -> torch.Tensor:
    """Return `logits.log_softmax(-1)`, over few actions of many steps in less time.

    On the CPU the softmax over a short last dimension is slow: eight actions take longer than
    sixteen. Over the first dimension it is not.

    Args:
        logits: `[..., N]`.
    """
    actions = logits.shape[-1]
    if torch.compiler.is_compiling():  # the number of steps is not known there
        return logits.log_softmax(dim=-1)
    if actions < FEW_ACTIONS and logits.numel() >= MANY_STEPS * actions and logits.is_cpu:
        return logits.movedim(-1, 0).log_softmax(dim=0).movedim(0, -1)
    return logits.log_softmax(dim=-1)
