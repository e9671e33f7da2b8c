"""PPO_RNN of skrl 2.1.1 stores, from the second step on, the policy's state after a step.

Training takes what is stored with the first step of a sequence for the state before it. After the
first step of all, the agent keeps one dictionary for the states before and after a step, so that
`act` replaces the former before they are stored. The states of a separate value are stored right.
"""

from importlib.metadata import version
from typing import Any

import gymnasium
import torch
from skrl.agents.torch.ppo import PPO_RNN
from skrl.memories.torch import RandomMemory
from skrl.models.torch import CategoricalMixin, DeterministicMixin, Model

SPACES = {
    "observation_space": gymnasium.spaces.Box(0.0, 10.0, (1,)),
    "action_space": gymnasium.spaces.Discrete(2),
}
SPECIFICATION = {"rnn": {"sequence_length": 4, "sizes": [(1, 1, 1)]}}


class Policy(CategoricalMixin, Model):
    """Has a state that counts its steps."""

    def __init__(self) -> None:
        Model.__init__(self, **SPACES, device="cpu")
        CategoricalMixin.__init__(self)

    def get_specification(self) -> dict[str, Any]:
        return SPECIFICATION

    def compute(self, inputs: dict[str, Any], role: str) -> tuple[torch.Tensor, dict[str, Any]]:
        return torch.zeros(1, 2), {"rnn": [inputs["rnn"][0] + 1]}


class Value(DeterministicMixin, Model):
    """Has a state that counts its steps, too."""

    def __init__(self) -> None:
        Model.__init__(self, **SPACES, device="cpu")
        DeterministicMixin.__init__(self)
        self.value = torch.nn.Linear(1, 1)

    def get_specification(self) -> dict[str, Any]:
        return SPECIFICATION

    def compute(self, inputs: dict[str, Any], role: str) -> tuple[torch.Tensor, dict[str, Any]]:
        return torch.zeros(1, 1), {"rnn": [inputs["rnn"][0] + 1]}


assert version("skrl") == "2.1.1"
memory = RandomMemory(memory_size=4, num_envs=1, device="cpu")
models = {"policy": Policy(), "value": Value()}
cfg = {"experiment": {"write_interval": 0, "checkpoint_interval": 0}}
agent = PPO_RNN(models=models, memory=memory, **SPACES, device="cpu", cfg=cfg)
agent.init()
agent.enable_training_mode(True)
shown, going_on = torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.bool)
step: dict[str, Any] = {"observations": shown, "states": None, "timestep": 0, "timesteps": 4}
for _ in range(4):
    actions, _outputs = agent.act(**step)
    agent.record_transition(
        **step,
        actions=actions,
        rewards=torch.ones(1, 1),
        next_observations=shown,
        next_states=None,
        terminated=going_on,
        truncated=going_on,
        infos={},
    )

policy, value = (memory.get_tensor_by_name(f"rnn_{n}_0").flatten() for n in ("policy", "value"))
assert policy.tolist() == [0.0, 2.0, 3.0, 4.0], policy  # before each step: 0, 1, 2, 3
assert value.tolist() == [0.0, 1.0, 2.0, 3.0], value
