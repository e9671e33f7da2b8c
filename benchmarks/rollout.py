"""Collection with a trivial vector environment: steps per second."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.workload import ACTIONS, FEATURES, HIDDEN
from tamiyo_rl import LSTMPolicyBundle

ENVS = 16


def make_observations(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw what the environment shows, `[T, B, F]`, and where its episodes start, `[T, B]`."""
    generator = torch.Generator().manual_seed(0)
    starts = torch.rand(steps, ENVS, generator=generator) < 0.02
    return torch.randn(steps, ENVS, FEATURES, generator=generator), starts


def make_our_rollout(steps: int) -> Callable[[], None]:
    """Collect with `get_action`, checked and reset at episode starts."""
    bundle = LSTMPolicyBundle(FEATURES, ACTIONS, hidden_dim=HIDDEN)
    observations, starts = make_observations(steps)

    def collect() -> None:
        hidden = bundle.initial_hidden(ENVS)
        for features, first in zip(observations, starts, strict=True):
            hidden = bundle.get_action(features, hidden=hidden, episode_starts=first).hidden

    return collect


def make_raw_rollout(steps: int) -> Callable[[], None]:
    """Collect with one raw `nn.LSTM` step, two linear heads and a softmax sample: the limit."""
    lstm, policy, value = (
        nn.LSTM(FEATURES, HIDDEN),
        nn.Linear(HIDDEN, ACTIONS),
        nn.Linear(HIDDEN, 1),
    )
    observations, _ = make_observations(steps)

    @torch.inference_mode()
    def collect() -> None:
        state = (torch.zeros(1, ENVS, HIDDEN), torch.zeros(1, ENVS, HIDDEN))
        for features in observations:
            outputs, state = lstm(features[None], state)
            log_probs = policy(outputs[0]).log_softmax(-1)
            action = torch.multinomial(log_probs.exp(), 1)
            log_probs.gather(-1, action), value(outputs[0])

    return collect
