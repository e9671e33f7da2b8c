"""PPO_RNN of skrl, whose models its users write, and mistakes in them."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from skrl.agents.torch.ppo import PPO_RNN
from skrl.envs.wrappers.torch import wrap_env
from skrl.memories.torch import RandomMemory
from skrl.models.torch import CategoricalMixin, DeterministicMixin, Model
from skrl.trainers.torch import SequentialTrainer
from torch import nn

from tests.field.case import Case, Training

LIBRARY = "skrl"
SEQUENCE = 8
HIDDEN = 16


class Recurrent(Model):
    """A GRU that is reset where an episode ended, as each model of skrl with a memory resets."""

    def __init__(self, env: Any, outputs: int) -> None:
        Model.__init__(
            self,
            observation_space=env.observation_space,
            action_space=env.action_space,
            device="cpu",
        )
        self.core = nn.GRU(self.num_observations, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, outputs)

    def get_specification(self) -> dict[str, Any]:
        """Return the size of the state."""
        return {"rnn": {"sequence_length": SEQUENCE, "sizes": [(1, 1, HIDDEN)]}}

    def compute(self, inputs: dict[str, Any], role: str) -> tuple[torch.Tensor, dict[str, Any]]:
        """Return the outputs of a step, or in training of sequences."""
        length = SEQUENCE if self.training else 1
        rows = inputs["observations"].view(-1, length, self.num_observations)
        state = inputs["rnn"][0].view(1, -1, length, HIDDEN)[:, :, 0].contiguous()
        features, state = self.run(rows, state, inputs) if self.training else self.core(rows, state)
        return self.head(features.flatten(0, 1)), {"rnn": [state]}

    def run(
        self, rows: torch.Tensor, state: torch.Tensor, inputs: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Step through the sequences."""
        ended = (inputs["terminated"] | inputs["truncated"]).view(-1, SEQUENCE)
        features = []
        for step in range(SEQUENCE):
            feature, state = self.core(rows[:, step : step + 1], state)
            state = state.masked_fill(ended[None, :, step, None], 0.0)
            features.append(feature)
        return torch.cat(features, 1), state


class Policy(CategoricalMixin, Recurrent):
    """The policy."""

    def __init__(self, env: Any) -> None:
        Recurrent.__init__(self, env, env.action_space.n)
        CategoricalMixin.__init__(self)


class Value(DeterministicMixin, Recurrent):
    """The value."""

    def __init__(self, env: Any) -> None:
        Recurrent.__init__(self, env, 1)
        DeterministicMixin.__init__(self)


class Detached(Value):
    """Cuts the values off."""

    def compute(self, inputs: dict[str, Any], role: str) -> tuple[torch.Tensor, dict[str, Any]]:
        """Return values without a graph."""
        values, outputs = super().compute(inputs, role)
        return values.detach(), outputs


class DetachedCore(Policy):
    """Cuts the GRU off."""

    def run(
        self, rows: torch.Tensor, state: torch.Tensor, inputs: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Step through the sequences, without a graph."""
        features, state = super().run(rows, state, inputs)
        return features.detach(), state


class CachedTable(Policy):
    """Scales the logits by a table that was made under inference mode."""

    table: torch.Tensor | None = None

    def compute(self, inputs: dict[str, Any], role: str) -> tuple[torch.Tensor, dict[str, Any]]:
        """Return scaled logits."""
        if self.table is None:
            with torch.inference_mode():
                self.table = torch.ones(1)
        logits, outputs = super().compute(inputs, role)
        return logits * self.table, outputs


def make(
    policy: type[Policy] = Policy,
    value: type[Value] = Value,
    *,
    env: Any = None,
    steps: int = 32,
    **settings: Any,
) -> tuple[PPO_RNN, Any]:
    """Make the agent and its environment."""
    torch.manual_seed(0)
    env = wrap_env(env or gymnasium.make("CartPole-v1"), verbose=False)
    agent = PPO_RNN(
        models={"policy": policy(env), "value": value(env)},
        memory=RandomMemory(memory_size=steps, num_envs=env.num_envs, device="cpu"),
        observation_space=env.observation_space,
        action_space=env.action_space,
        device="cpu",
        cfg={
            "rollouts": steps,
            "learning_epochs": 2,
            "entropy_loss_scale": 0.01,
            "experiment": {"write_interval": 0, "checkpoint_interval": 0},
            **settings,
        },
    )
    return agent, env


def learn(agent: PPO_RNN, env: Any, steps: int) -> None:
    """Train without a word."""
    settings = {"timesteps": steps, "headless": True, "disable_progressbar": True}
    SequentialTrainer(env=env, agents=agent, cfg=settings).train()


def training(policy: type[Policy] = Policy, value: type[Value] = Value) -> Training:
    """Return the models, and what trains them for two updates."""
    agent, env = make(policy, value)
    return Training(nn.ModuleDict(agent.models), lambda: learn(agent, env, 64))


CASES = (
    Case(LIBRARY, "correct", "with models that a user wrote", training),
    Case(
        LIBRARY,
        "detached-values",
        "values without a graph in the loss",
        lambda: training(value=Detached),
    ),
    Case(
        LIBRARY,
        "detached-core",
        "a GRU that is cut off from the loss",
        lambda: training(policy=DetachedCore),
    ),
    Case(
        LIBRARY,
        "cached-table",
        "a table made under inference mode",
        lambda: training(policy=CachedTable),
    ),
)
