"""Continuous heads: independent normal distributions, of which all numbers lie side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from tamiyo_rl.policy.protocol import HeadTensors

HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


class GaussianHeads:
    """The distribution of named, independent Gaussian heads over one row of a network's outputs.

    A row holds the means of all heads, and after them the logarithms of the standard deviations.

    Args:
        sizes: Numbers of the action by head, D.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.names = list(sizes)
        self._sizes = list(sizes.values())

    def choose(
        self, outputs: torch.Tensor, _masks: HeadTensors | None, *, deterministic: bool
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return actions `[..., D]` and their log-probabilities `[...]` by head.

        Args:
            outputs: `[..., 2 * total]`.
            deterministic: Whether to take the means instead of samples.
        """
        mean, log_std = outputs.chunk(2, dim=-1)
        action = mean if deterministic else self.sample(mean, log_std)
        return self._split(action), self._sums(_log_prob(action, mean, log_std))

    def evaluate(
        self, outputs: torch.Tensor, actions: HeadTensors, _masks: HeadTensors | None
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return the log-probabilities of actions, and the entropies, by head, `[...]` each.

        Args:
            outputs: `[..., 2 * total]`.
            actions: By head, `[..., D]`.
        """
        mean, log_std = outputs.chunk(2, dim=-1)
        chosen = torch.cat([actions[name] for name in self.names], dim=-1).to(mean.dtype)
        entropy = log_std + (0.5 + HALF_LOG_2_PI)
        return self._sums(_log_prob(chosen, mean, log_std)), self._sums(entropy)

    def parameters_by_name(
        self, outputs: torch.Tensor, _masks: HeadTensors | None
    ) -> dict[str, torch.Tensor]:
        """Return means and logarithms of the standard deviations by head, `[..., 2 * D]`."""
        mean, log_std = map(self._split, outputs.chunk(2, dim=-1))
        return {name: torch.cat([mean[name], log_std[name]], dim=-1) for name in self.names}

    # enforces C12
    def sample(self, mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
        """Draw one action `[..., total]` for all heads at once."""
        return mean + log_std.exp() * torch.randn_like(mean)

    # enforces C10
    def require_deviations(self, log_std: torch.Tensor) -> None:
        """Raise where a standard deviation, or 1 over it, is too large for its type.

        Args:
            log_std: `[total]`.
        """
        largest = math.log(torch.finfo(log_std.dtype).max)
        wrong = ~(log_std.detach().abs() < largest)
        if wrong.is_meta or not wrong.any():
            return
        sizes = zip(self.names, self._sizes, strict=True)
        places = [(name, number) for name, size in sizes for number in range(size)]
        first = int(wrong.nonzero()[0])
        name, number = places[first]
        raise ValueError(
            f"log_std: expected standard deviations that {log_std.dtype} can hold, got "
            f'exp({log_std[first].item():g}) in number {number} of the head "{name}". Lower the '
            "learning rate or the weight of the entropy."
        )

    def _split(self, numbers: torch.Tensor) -> dict[str, torch.Tensor]:
        """Give `[..., total]` back by the names of the heads, `[..., D]`."""
        return dict(zip(self.names, numbers.split(self._sizes, dim=-1), strict=True))

    def _sums(self, numbers: torch.Tensor) -> dict[str, torch.Tensor]:
        """Sum `[..., total]` over the numbers of each head, `[...]`."""
        return {name: piece.sum(dim=-1) for name, piece in self._split(numbers).items()}


def _log_prob(action: torch.Tensor, mean: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the density of each number, `[..., total]`, in nats."""
    distance = (action - mean) * (-log_std).exp()
    return -0.5 * distance.square() - log_std - HALF_LOG_2_PI
