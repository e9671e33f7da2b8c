"""The update of sb3-contrib's `RecurrentPPO`, as published, and with its loop over time removed.

sb3-contrib does not draw rows: it cuts the flattened transitions at a random place, takes the
two parts in swapped order, and slices that. A minibatch therefore holds as many transitions as
those of the other methods, but may begin in the middle of a row. Each minibatch is then cut
at every episode start and row end, and padded to its longest piece.

Its shared LSTM learns only from the policy's loss: the input of the value head is detached.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib import RecurrentPPO
from sb3_contrib.ppo_recurrent.policies import MlpLstmPolicy
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from benchmarks.speed import workload as w
from benchmarks.speed.table_env import TableEnv

State = tuple[torch.Tensor, torch.Tensor]


class SB3Env(VecEnv):
    """`TableEnv` behind the interface of stable-baselines3."""

    def __init__(self) -> None:
        self.env = TableEnv()
        self.infos: list[dict[str, Any]] = [{} for _ in range(self.env.num_envs)]
        super().__init__(
            self.env.num_envs, self.env.single_observation_space, self.env.single_action_space
        )

    def reset(self) -> NDArray[np.float32]:
        """Return the first observations."""
        return self.env.reset()[0]

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Keep the actions for `step_wait`."""
        self.actions = actions

    def step_wait(
        self,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Take the step."""
        observations, rewards, terminated, _, _ = self.env.step(self.actions)
        return observations, rewards, terminated, self.infos

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def get_attr(self, attr_name: str, indices: object = None) -> list[Any]:
        """Return an attribute once for each environment."""
        del indices
        return [getattr(self.env, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: object, indices: object = None) -> None:
        """Refuse: no environment has attributes to set."""
        raise NotImplementedError

    def env_method(
        self, method_name: str, *method_args: object, indices: object = None, **kwargs: object
    ) -> list[Any]:
        """Refuse: no environment has methods to call."""
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: object, indices: object = None) -> list[bool]:
        """Answer that no environment is wrapped."""
        del wrapper_class, indices
        return [False] * self.num_envs


class FusedPolicy(MlpLstmPolicy):
    """The policy with one call of the LSTM in place of a call for each step.

    Training cuts its sequences at each episode start and a rollout passes one step, so that
    only the first step of a sequence can start an episode: to reset before it is enough.
    """

    @staticmethod
    def _process_sequence(  # type: ignore[override] # the annotation there calls the state a tensor
        features: torch.Tensor, lstm_states: State, episode_starts: torch.Tensor, lstm: nn.LSTM
    ) -> tuple[torch.Tensor, State]:
        """Run the LSTM over whole sequences, which lie behind each other in `features`."""
        sequences = lstm_states[0].shape[1]
        inputs = features.reshape(sequences, -1, lstm.input_size).transpose(0, 1)
        keep = (1.0 - episode_starts.reshape(sequences, -1)[:, 0])[None, :, None]
        outputs, last = lstm(inputs, (lstm_states[0] * keep, lstm_states[1] * keep))
        return outputs.transpose(0, 1).flatten(0, 1), last


def recurrent_ppo(
    policy: type[MlpLstmPolicy], env: SB3Env, *, n_steps: int, batch_size: int
) -> RecurrentPPO:
    """Build the algorithm with one LSTM, shared, and a linear layer for each head."""
    architecture = {"shared_lstm": True, "enable_critic_lstm": False, "net_arch": []}
    return RecurrentPPO(
        policy,
        env,
        n_steps=n_steps,
        batch_size=batch_size,
        n_epochs=w.EPOCHS,
        learning_rate=w.LEARNING_RATE,
        clip_range=w.CLIP_RANGE,
        vf_coef=w.VALUE_COEF,
        ent_coef=w.ENTROPY_COEF,
        max_grad_norm=w.MAX_GRAD_NORM,
        policy_kwargs=architecture | {"lstm_hidden_size": w.HIDDEN},
        device="cpu",
    )


def fill_buffer(algorithm: RecurrentPPO, workload: w.Workload) -> None:
    """Store the rollout, time first; rewards, values and states stay zero."""
    buffer = algorithm.rollout_buffer
    buffer.reset()
    buffer.observations[:] = time_first(workload.features)
    buffer.actions[:] = time_first(workload.actions)[..., None]
    buffer.log_probs[:] = time_first(workload.log_prob)
    buffer.advantages[:] = time_first(workload.advantages)
    buffer.returns[:] = time_first(workload.returns)
    buffer.episode_starts[:] = time_first(workload.starts)
    buffer.full = True


def time_first(tensor: torch.Tensor) -> NDArray[Any]:
    """Return `[B, T, ...]` as an array `[T, B, ...]`."""
    array: NDArray[Any] = tensor.transpose(0, 1).numpy()
    return array


class SB3:
    """The update of sb3-contrib, unmodified."""

    policy: type[MlpLstmPolicy] = MlpLstmPolicy

    def __init__(self, workload: w.Workload) -> None:
        time = workload.features.shape[1]
        self.algorithm = recurrent_ppo(
            self.policy, SB3Env(), n_steps=time, batch_size=workload.rows * time
        )
        self.algorithm.set_logger(Logger(folder=None, output_formats=[]))
        fill_buffer(self.algorithm, workload)

    def __call__(self) -> None:
        """Make one update."""
        self.algorithm.train()


class SB3WithoutLoop(SB3):
    """The update of sb3-contrib with one LSTM call for a minibatch."""

    policy = FusedPolicy
