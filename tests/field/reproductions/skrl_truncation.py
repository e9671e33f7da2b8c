"""PPO_RNN of skrl 2.1.1 continues the return of a truncated episode with the next episode.

Its estimate of advantages knows terminations only. The value that follows is therefore that of the
observation after the reset, and with a `gae_lambda` above 0 the rewards of the next episode count
too. `time_limit_bootstrap=True` adds the value of the last step to the reward, and leaves the rest
as it is. [An issue](https://github.com/Toni-SM/skrl/issues/449) about 2.1.0 discusses both
settings.
"""

from importlib.metadata import version
from typing import Any

import gymnasium
import torch
from skrl.agents.torch.ppo import PPO_RNN
from skrl.memories.torch import RandomMemory
from skrl.models.torch import CategoricalMixin, DeterministicMixin, Model

GAMMA = 0.9
SPACES = {
    "observation_space": gymnasium.spaces.Box(0.0, 10.0, (1,)),
    "action_space": gymnasium.spaces.Discrete(2),
}


class Policy(CategoricalMixin, Model):
    """Chooses anything."""

    def __init__(self) -> None:
        Model.__init__(self, **SPACES, device="cpu")
        CategoricalMixin.__init__(self)
        self.logits = torch.nn.Linear(1, 2)

    def compute(self, inputs: dict[str, Any], role: str) -> tuple[torch.Tensor, dict[str, Any]]:
        return self.logits(inputs["observations"]), {}


class Value(DeterministicMixin, Model):
    """Takes the number of an observation for its value."""

    def __init__(self) -> None:
        Model.__init__(self, **SPACES, device="cpu")
        DeterministicMixin.__init__(self)

    def compute(self, inputs: dict[str, Any], role: str) -> tuple[torch.Tensor, dict[str, Any]]:
        return inputs["observations"], {}


def target(*, time_limit_bootstrap: bool) -> float:
    """Return the target of an episode that shows 1, is truncated at 2, and is followed by a 5."""
    memory = RandomMemory(memory_size=2, num_envs=1, device="cpu")
    cfg: dict[str, Any] = {
        "rollouts": 2,
        "discount_factor": GAMMA,
        "gae_lambda": 0.0,
        "mini_batches": 1,
    }
    cfg |= {"experiment": {"write_interval": 0, "checkpoint_interval": 0}}
    cfg |= {"time_limit_bootstrap": time_limit_bootstrap}
    models = {"policy": Policy(), "value": Value()}
    agent = PPO_RNN(models=models, memory=memory, **SPACES, device="cpu", cfg=cfg)
    agent.init()
    agent.enable_training_mode(True)
    time = {"timestep": 0, "timesteps": 2}
    for shown, following, truncated in ((1.0, 2.0, True), (5.0, 6.0, False)):
        observations = torch.tensor([[shown]])
        with torch.no_grad():
            actions, _ = agent.act(observations, None, **time)
            agent.record_transition(
                observations=observations,
                states=None,
                actions=actions,
                rewards=torch.ones(1, 1),
                next_observations=torch.tensor([[following]]),
                next_states=None,
                terminated=torch.zeros(1, 1, dtype=torch.bool),
                truncated=torch.tensor([[truncated]]),
                infos={},
                **time,
            )
    agent.update(**time)
    return float(memory.get_tensor_by_name("returns")[0])


assert version("skrl") == "2.1.1"
without, with_ = target(time_limit_bootstrap=False), target(time_limit_bootstrap=True)
assert abs(without - (1 + GAMMA * 5)) < 1e-5, without  # from the last observation: 1 + GAMMA * 2
assert abs(with_ - (1 + GAMMA * 1 + GAMMA * 5)) < 1e-5, with_
