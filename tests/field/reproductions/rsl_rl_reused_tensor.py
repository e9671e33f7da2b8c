"""PPO of rsl-rl-lib 5.5.1 copies an observation after the step of the environment, not before it.

An environment that writes each observation into the same tensor makes it store, beside an action
and its value, the observation that followed.
"""

from importlib.metadata import version

import torch
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict  # type: ignore[import-untyped]  # it ships no types

assert version("rsl-rl-lib") == "5.5.1"
observation = torch.ones(1, 1)  # the environment's own tensor, which counts its steps
observations = TensorDict({"policy": observation}, batch_size=[1])
groups = {"actor": ["policy"], "critic": ["policy"]}
gaussian = {"class_name": "rsl_rl.modules.distribution:GaussianDistribution"}
algorithm = PPO(
    MLPModel(observations, groups, "actor", 1, distribution_cfg=gaussian),
    MLPModel(observations, groups, "critic", 1),
    RolloutStorage("rl", 1, 4, observations, [1]),
)
with torch.inference_mode():
    for _ in range(4):
        algorithm.act(observations)
        observation += 1  # the step of the environment
        algorithm.process_env_step(observations, torch.ones(1), torch.zeros(1), {})

stored = algorithm.storage.observations["policy"].flatten().tolist()
assert stored == [2.0, 3.0, 4.0, 5.0], stored  # a copy at the time would hold 1, 2, 3, 4
