"""Collection with an environment that costs nothing: ours, and the limit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from benchmarks.rollout_env import ENVIRONMENTS, RolloutEnv
from benchmarks.workload import ACTIONS, FEATURES, HIDDEN
from tamiyo_rl import ActionResult, HiddenState, LSTMPolicyBundle
from tamiyo_rl.training import RolloutBuffer


class OurRollout:
    """Act with `get_action`, checked and reset at episode starts; store nothing.

    Args:
        steps: Steps of each environment that one call collects.
    """

    def __init__(self, steps: int) -> None:
        self.steps, self.env = steps, RolloutEnv()
        self.bundle = LSTMPolicyBundle(FEATURES, ACTIONS, hidden_dim=HIDDEN)

    def __call__(self) -> None:
        """Collect one rollout."""
        hidden, starts = self.bundle.initial_hidden(ENVIRONMENTS), torch.ones(ENVIRONMENTS) > 0
        features = torch.from_numpy(self.env.reset()[0])
        for _ in range(self.steps):
            result = self.bundle.get_action(features, hidden=hidden, episode_starts=starts)
            observation, rewards, ended, _, _ = self.env.step(result.action["action"].numpy())
            self.store(features, result, hidden, starts, rewards, ended)
            features, starts = torch.from_numpy(observation), torch.from_numpy(ended)
            hidden = result.hidden

    def store(self, *_: object) -> None:
        """Store one step."""


class OurStoredRollout(OurRollout):
    """The same, with every step stored in a `RolloutBuffer`, and the advantages computed."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self.buffer = RolloutBuffer(self.bundle, ENVIRONMENTS, steps)
        self.never = np.zeros(ENVIRONMENTS, dtype=np.bool_)

    def __call__(self) -> None:
        """Collect one rollout."""
        self.buffer.reset()
        super().__call__()
        self.buffer.finish(torch.zeros(ENVIRONMENTS), gamma=0.99, gae_lambda=0.95)

    def store(  # noqa: PLR0913, PLR0917 - what one step is made of
        self,
        features: torch.Tensor,
        result: ActionResult,
        hidden: HiddenState,
        starts: torch.Tensor,
        rewards: np.ndarray,
        ended: np.ndarray,
    ) -> None:
        """Store one step."""
        self.buffer.add(
            features,
            result,
            hidden=hidden,
            episode_starts=starts,
            rewards=rewards,
            terminated=ended,
            truncated=self.never,
        )


def make_raw_rollout(steps: int) -> Callable[[], None]:
    """Collect with one raw `nn.LSTM` step, two linear heads and a softmax sample: the limit."""
    lstm, policy = nn.LSTM(FEATURES, HIDDEN), nn.Linear(HIDDEN, ACTIONS)
    value, env = nn.Linear(HIDDEN, 1), RolloutEnv()

    @torch.inference_mode()
    def collect() -> None:
        state = (torch.zeros(1, ENVIRONMENTS, HIDDEN), torch.zeros(1, ENVIRONMENTS, HIDDEN))
        features = torch.from_numpy(env.reset()[0])
        for _ in range(steps):
            outputs, state = lstm(features[None], state)
            log_probs = policy(outputs[0]).log_softmax(-1)
            action = torch.multinomial(log_probs.exp(), 1)
            log_probs.gather(-1, action), value(outputs[0])
            features = torch.from_numpy(env.step(action[:, 0].numpy())[0])

    return collect
