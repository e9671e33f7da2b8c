"""PPO of rsl-rl-lib 5.5.1 continues a timed-out episode with the value of its last step.

That is the value of the observation before the last; its interface has no place for the last one,
since an environment returns the observation after its reset. Its maintainers call this
[the next best approximation](https://github.com/leggedrobotics/rsl_rl/issues/151).
"""

from importlib.metadata import version

import torch
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict  # type: ignore[import-untyped]  # it ships no types

GAMMA = 0.9


def show(number: float) -> TensorDict:
    """Return what the environment shows."""
    return TensorDict({"policy": torch.full((1, 1), float(number))}, batch_size=[1])


assert version("rsl-rl-lib") == "5.5.1"
groups = {"actor": ["policy"], "critic": ["policy"]}
gaussian = {"class_name": "rsl_rl.modules.distribution:GaussianDistribution"}
critic = MLPModel(show(1), groups, "critic", 1)
actor = MLPModel(show(1), groups, "actor", 1, distribution_cfg=gaussian)
algorithm = PPO(actor, critic, RolloutStorage("rl", 1, 1, show(1), [1]), gamma=GAMMA)
with torch.inference_mode():
    algorithm.act(show(1))  # the step ends the episode at 2, and the next one starts at 9
    algorithm.process_env_step(
        show(9), torch.ones(1), torch.ones(1), {"time_outs": torch.ones(1, dtype=torch.bool)}
    )
    algorithm.compute_returns(show(9))

target = algorithm.storage.returns[0, 0]
torch.testing.assert_close(target, 1 + GAMMA * critic(show(1))[0])
assert not torch.allclose(target, 1 + GAMMA * critic(show(2))[0])
