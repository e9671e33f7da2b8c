"""Recurrent networks of Tianshou 2.0.1 train on stacks of observations, from a state of zeros.

The rollout carries its state from step to step; training runs over the last `stack_num`
observations, of which the first of an episode, or of a rollout, is repeated where there are too
few. So training sees another history than the rollout did, a rollout that is cut inside an episode
starts anew, and the value that continues a truncated episode comes from a stack of the
observations that follow. The maintainers say that
[all recurrent training starts from zeros](https://github.com/thu-ml/tianshou/issues/793), and
[how observations are stacked](https://github.com/thu-ml/tianshou/issues/413).
"""

from importlib.metadata import version

import numpy as np
import torch
from tianshou.data import Batch, ReplayBuffer
from tianshou.utils.net.common import Recurrent


def add(shown: int) -> None:
    """Store a step that shows a number and then the next."""
    now, later = np.array([float(shown)]), np.array([shown + 1.0])
    ends = {"terminated": False, "truncated": False}
    buffer.add(Batch(obs=now, act=0, rew=1.0, obs_next=later, info={}, **ends))


assert version("tianshou") == "2.0.1"
buffer = ReplayBuffer(8, stack_num=4)
network = Recurrent(layer_num=1, state_shape=(1,), action_shape=2, hidden_layer_size=8)
state = None
for number in (1, 2, 3):
    add(number)
    in_rollout, state = network(np.array([[float(number)]]), state)

stack = buffer[np.array([2])]
in_training, _ = network(stack.obs)
assert stack.obs.flatten().tolist() == [1.0, 1.0, 2.0, 3.0], stack.obs
assert stack.obs_next.flatten().tolist() == [2.0, 2.0, 3.0, 4.0], stack.obs_next
assert not torch.allclose(in_rollout, in_training)

buffer.reset(keep_statistics=True)  # as after each update
add(4)
assert buffer[np.array([0])].obs.flatten().tolist() == [4.0, 4.0, 4.0, 4.0]
