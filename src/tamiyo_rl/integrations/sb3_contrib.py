"""`RecurrentPPO` of sb3-contrib with episode resets inside one fused call."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import sb3_contrib
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib import RecurrentPPO as TheirRecurrentPPO
from sb3_contrib.common.recurrent.buffers import RecurrentDictRolloutBuffer, RecurrentRolloutBuffer
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.common.recurrent.type_aliases import (
    RecurrentDictRolloutBufferSamples,
    RecurrentRolloutBufferSamples,
    RNNStates,
)
from torch import nn

from tamiyo_rl.recurrent.episode_plan import EpisodePlan
from tamiyo_rl.recurrent.episodic_lstm import EpisodicLSTM

TESTED = "2.9."
_step_by_step = RecurrentActorCriticPolicy._process_sequence
_cores: WeakKeyDictionary[nn.LSTM, EpisodicLSTM] = WeakKeyDictionary()


class RecurrentPPO(TheirRecurrentPPO):
    """`sb3_contrib.RecurrentPPO`, whose `train()` resets the state in one fused call (C5).

    It takes the same arguments, policies and saved models. The original cuts a minibatch at each
    episode start, pads the pieces, and loops over time if an episode starts in it. Here a
    minibatch is the same steps without padding: the steps of one environment are a row, and an
    `EpisodePlan` says where its episodes start. Rollouts and `predict()` run as in the original.

    A saved model names the classes of sb3-contrib, and loads where this package is not installed.

    Args:
        *args: As for `sb3_contrib.RecurrentPPO`.
        **kwargs: As for `sb3_contrib.RecurrentPPO`.

    Raises:
        ImportError: If sb3-contrib is of a version with which this was not tested.
        ValueError: If the policy has a way of its own to run its LSTM over sequences, or one that
            is bidirectional or has a projection.

    Examples:
        ```python
        from tamiyo_rl.integrations.sb3_contrib import RecurrentPPO

        model = RecurrentPPO("MlpLstmPolicy", "CartPole-v1", n_steps=32, batch_size=32, seed=0)
        model.learn(64)
        print(model.num_timesteps)
        ```

        ```text
        64
        ```
    """

    def _setup_model(self) -> None:
        if not sb3_contrib.__version__.startswith(TESTED):
            raise ImportError(
                f"sb3_contrib: expected version {TESTED}x, with which this class was tested, got "
                f"{sb3_contrib.__version__}. Install 'tamiyo-rl[sb3]'."
            )
        super()._setup_model()
        if getattr(self.policy, "_process_sequence", None) is not _step_by_step:
            raise ValueError(
                f"policy: expected one that runs its LSTM as sb3-contrib does, got "
                f"{type(self.policy).__name__} with a _process_sequence of its own. Use "
                "sb3_contrib.RecurrentPPO for it."
            )
        policy: Any = self.policy
        for lstm in filter(None, (policy.lstm_actor, policy.lstm_critic)):
            _core_of(lstm)  # refuses what it cannot run, before training begins
        policy._process_sequence = _process_sequence
        is_dict = isinstance(self.observation_space, spaces.Dict)
        algorithm: Any = self
        theirs = algorithm.rollout_buffer
        algorithm.rollout_buffer = (DictBuffer if is_dict else Buffer)(
            theirs.buffer_size,
            theirs.observation_space,
            theirs.action_space,
            theirs.hidden_state_shape,
            theirs.device,
            gae_lambda=theirs.gae_lambda,
            gamma=theirs.gamma,
            n_envs=theirs.n_envs,
        )


class Buffer(RecurrentRolloutBuffer):
    """The rollout buffer of sb3-contrib, whose minibatches are rows without padding."""

    def _get_samples(  # type: ignore[override]  # as in the original
        self, batch_inds: NDArray[np.int64], env_change: NDArray[Any], env: Any = None
    ) -> RecurrentRolloutBufferSamples:
        observations = self.to_torch(self.observations[batch_inds])
        return RecurrentRolloutBufferSamples(observations, **_samples(self, batch_inds, env_change))


class DictBuffer(RecurrentDictRolloutBuffer):
    """The same for observations in a dict."""

    def _get_samples(  # type: ignore[override]  # as in the original
        self, batch_inds: NDArray[np.int64], env_change: NDArray[Any], env: Any = None
    ) -> RecurrentDictRolloutBufferSamples:
        observations = {
            key: self.to_torch(observation[batch_inds])
            for key, observation in self.observations.items()
        }
        return RecurrentDictRolloutBufferSamples(
            observations, **_samples(self, batch_inds, env_change)
        )


def _samples(
    buffer: RecurrentRolloutBuffer | RecurrentDictRolloutBuffer,
    batch_inds: NDArray[np.int64],
    env_change: NDArray[Any],
) -> dict[str, Any]:
    """Return what a minibatch holds beside observations, a row for each environment."""
    begins_row = env_change[batch_inds].flatten() > 0
    begins_row[0] = True
    begin = np.flatnonzero(begins_row)
    lengths = np.diff([*begin, len(batch_inds)]).tolist()
    starts = torch.from_numpy(buffer.episode_starts[batch_inds].flatten() > 0)

    def take(array: NDArray[Any]) -> torch.Tensor:
        return buffer.to_torch(array[batch_inds])

    def before(array: NDArray[Any]) -> torch.Tensor:
        return buffer.to_torch(array[batch_inds[begin]].swapaxes(0, 1)).contiguous()

    return {
        "actions": take(buffer.actions),
        "old_values": take(buffer.values).flatten(),
        "old_log_prob": take(buffer.log_probs).flatten(),
        "advantages": take(buffer.advantages).flatten(),
        "returns": take(buffer.returns).flatten(),
        "lstm_states": RNNStates(
            (before(buffer.hidden_states_pi), before(buffer.cell_states_pi)),
            (before(buffer.hidden_states_vf), before(buffer.cell_states_vf)),
        ),
        "episode_starts": EpisodePlan.of_rows(starts, lengths),
        "mask": torch.ones(len(batch_inds), device=buffer.device),
    }


def _process_sequence(
    features: torch.Tensor, lstm_states: Any, episode_starts: Any, lstm: nn.LSTM
) -> tuple[torch.Tensor, Any]:
    """Run the rows of a plan in one call, and anything else as sb3-contrib does."""
    if not isinstance(episode_starts, EpisodePlan):
        return _step_by_step(features, lstm_states, episode_starts, lstm)
    return _core_of(lstm).run_rows(features, lstm_states, episode_starts), lstm_states


def _core_of(lstm: nn.LSTM) -> EpisodicLSTM:
    """Return the layer that shares the parameters of an LSTM, as long as they stay the same."""
    core = _cores.get(lstm)
    if core is None or core.weight_hh_l0 is not lstm.weight_hh_l0:
        core = _cores[lstm] = EpisodicLSTM.sharing(lstm)
    return core.train(lstm.training)
