"""Collection by the bare calls: the environment's step, an LSTM's step, two heads and a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from gymnasium.spaces import Discrete
from gymnasium.vector import VectorEnv
from torch import nn

State = tuple[torch.Tensor, torch.Tensor]
Core = Callable[[torch.Tensor, State | None], tuple[torch.Tensor, State]]


class BareRollout:
    """Acts and steps; checks, resets, normalises and stores nothing.

    Args:
        envs: Vector environment with Box observations and Discrete actions.
        core: One step of an LSTM, from features `[B, F]` to outputs `[B, H]`.
        hidden_dim: H.
        steps: Steps of each environment that one call collects.
    """

    def __init__(
        self, envs: VectorEnv[Any, Any, Any], core: Core, hidden_dim: int, steps: int
    ) -> None:
        actions = cast("Discrete", envs.single_action_space).n
        self.envs = envs
        self.core = core
        self.steps = steps
        self.policy = nn.Linear(hidden_dim, int(actions))
        self.value = nn.Linear(hidden_dim, 1)
        self.features = torch.from_numpy(envs.reset(seed=0)[0])
        self.state: State | None = None

    @torch.inference_mode()
    def __call__(self) -> None:
        """Collect one rollout."""
        for _ in range(self.steps):
            outputs, self.state = self.core(self.features, self.state)
            log_probs = self.policy(outputs).log_softmax(-1)
            action = torch.multinomial(log_probs.exp(), 1)
            log_probs.gather(-1, action)
            self.value(outputs)
            self.features = torch.from_numpy(self.envs.step(action[:, 0].numpy())[0])


def lstm_cell(feature_dim: int, hidden_dim: int) -> Core:
    """Return one step of an `nn.LSTMCell`."""
    cell = nn.LSTMCell(feature_dim, hidden_dim)

    def step(features: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        state = cell(features, state)
        return state[0], state

    return step


def lstm(feature_dim: int, hidden_dim: int) -> Core:
    """Return one step of an `nn.LSTM`."""
    module = nn.LSTM(feature_dim, hidden_dim)

    def step(features: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        outputs, state = module(features[None], state)
        return outputs[0], state

    return step
