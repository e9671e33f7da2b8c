"""An `RLModule` of RLlib around the network of `LSTMPolicyBundle`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis.value_function_api import ValueFunctionAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule

from tamiyo_rl.checks import describe, require_positive
from tamiyo_rl.contract.guard import guard_training_inputs
from tamiyo_rl.integrations.rllib.spaces import (
    MASK,
    distribution_of,
    features_of,
    require_mask,
    without_mask,
)
from tamiyo_rl.policy.bundle import LSTMPolicyBundle
from tamiyo_rl.policy.spaces import SpaceAdapter
from tamiyo_rl.recurrent.hidden_state import HiddenState

TESTED = "2.60."
EPISODE_STARTS = "episode_starts"
MAX_SEQ_LEN = "max_seq_len"
OPTIONS = ("hidden_dim", "num_lstm_layers", "cell", "critic", "head_dims")
ADDED = {"vf_share_layers": False}  # by PPOConfig, unasked
REASONS = {
    "learn_initial_hidden": " RLlib passes the initial state through its episodes, where its "
    "gradient is lost.",
    "vf_share_layers": " Say critic='shared' or critic='separate'.",
}


class LSTMPolicyModule(TorchRLModule, ValueFunctionAPI):
    """The network of `LSTMPolicyBundle` as an `RLModule` for PPO.

    It keeps C2, C4 and C7: environment runners act under inference mode; what is passed to
    training is guarded; and training computes the log-probabilities that the rollout stored.
    Observations are what `SpaceAdapter` takes. A part `"action_mask"` of a Dict of observations
    is no feature: where it is 0, the action has probability 0. Actions are Discrete,
    MultiDiscrete, Box, or a Dict of them.

    Its `model_config` is a dict: `max_seq_len`, and any of `hidden_dim`, `num_lstm_layers`,
    `cell`, `critic` and `head_dims` of `LSTMPolicyBundle`. A learned initial state is refused:
    RLlib passes the initial state through its episodes, where its gradient is lost.

    Raises:
        ImportError: If Ray is of a version with which this was not tested.
        TypeError: If `model_config` is no dict.
        ValueError: If an option or a space is not supported, or a state does not fit.

    Examples:
        ```python
        from gymnasium.spaces import Box, Discrete

        from tamiyo_rl.integrations.rllib import LSTMPolicyModule

        module = LSTMPolicyModule(
            observation_space=Box(-1, 1, (4,)),
            action_space=Discrete(2),
            model_config={"hidden_dim": 8, "max_seq_len": 32},
        )
        print({part: list(state.shape) for part, state in module.get_initial_state().items()})
        ```

        ```text
        {'h': [1, 8], 'c': [1, 8]}
        ```
    """

    def setup(self) -> None:
        """Build the network from the spaces and `model_config`."""
        _require_version()
        options = _require_options(self.model_config)
        self._seen = without_mask(self.observation_space)
        adapter = SpaceAdapter(self._seen, self.action_space)
        self.action_dist_cls, _ = distribution_of(self.action_space)
        bundle = LSTMPolicyBundle(adapter.feature_dim, adapter.action_dims, **options)
        self._bundle = bundle
        self._masks = require_mask(self.observation_space, bundle.heads.num_logits)
        self._parts = ("h", "c") if bundle.cell == "lstm" else ("h",)
        self._state_shape = tuple(bundle.initial_hidden().h[:, 0].shape)
        self.network = bundle.network

    def get_initial_state(self) -> dict[str, NDArray[np.float32]]:
        """Return the state at the start of an episode, zeros `[layers, hidden]` by part."""
        return {part: np.zeros(self._state_shape, np.float32) for part in self._parts}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Load what `get_state` returned; nothing changes where it does not fit.

        Args:
            state: Arrays by name.

        Raises:
            ValueError: If it is not the state of a module with the same settings.
        """
        own = {name: tuple(value.shape) for name, value in self.state_dict().items()}
        got = {name: tuple(np.shape(value)) for name, value in state.items()}
        wrong = sorted(name for name in own.keys() | got.keys() if own.get(name) != got.get(name))
        if wrong:
            name = wrong[0]
            raise ValueError(
                f"state[{name!r}]: expected {_shape(own.get(name))}, as model_config and the "
                f"spaces say, got {_shape(got.get(name))}."
            )
        super().set_state(state)

    def _forward(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        with torch.inference_mode():
            outputs, _, state = self._run(batch)
        return {Columns.ACTION_DIST_INPUTS: outputs, Columns.STATE_OUT: state}

    @guard_training_inputs
    def _forward_train(self, batch: Mapping[str, Any], **kwargs: Any) -> dict[str, Any]:
        _require_loss_mask(batch)
        outputs, value, state = self._run(batch)
        return {
            Columns.ACTION_DIST_INPUTS: outputs,
            Columns.STATE_OUT: state,
            Columns.EMBEDDINGS: value,  # for compute_values, which needs no second pass then
        }

    def compute_values(
        self, batch: Mapping[str, Any], embeddings: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the values `[B, T]`.

        Args:
            batch: What RLlib trains on.
            embeddings: The values, where `forward_train` has computed them already.
        """
        if embeddings is not None:
            return embeddings
        with torch.no_grad():  # RLlib asks for these as targets, under grad mode
            return self._run(batch)[1]

    def _run(
        self, batch: Mapping[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        """Run `[B, T]` steps: inputs of the distribution, values, last state."""
        observations = batch[Columns.OBS]
        features = features_of(self._seen, observations).to(self._bundle.dtype)
        hidden = self._hidden(batch.get(Columns.STATE_IN), len(features))
        outputs, value, after = self.network(features, hidden, batch.get(EPISODE_STARTS))
        if self._masks:
            outputs = self._masked(outputs, observations[MASK])
        by_head = self._bundle.heads.split(outputs, None).values()
        by_row = [part.transpose(0, 1) for part in after.parts]
        state = dict(zip(self._parts, by_row, strict=True))
        return torch.cat(list(by_head), dim=-1), value, state

    def _masked(self, outputs: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Take the probability of masked actions away, in padding too, where all are masked."""
        lowest = torch.finfo(outputs.dtype).min  # as RLlib does: -inf would be NaN in padding
        logits, others = outputs.tensor_split([self._bundle.heads.num_logits], dim=-1)
        return torch.cat([logits.masked_fill(mask == 0, lowest), others], dim=-1)

    def _hidden(self, state: object, batch_size: int) -> HiddenState:
        """Return the state `[layers, B, hidden]` before the first step."""
        expected = dict.fromkeys(self._parts, (batch_size, *self._state_shape))
        by_part = state if isinstance(state, Mapping) else {}
        got = {part: tuple(value.shape) for part, value in by_part.items()}
        if got != expected:
            raise ValueError(
                f"batch[{Columns.STATE_IN!r}]: expected {expected}, as get_initial_state() gives "
                f"it for each row, got {got or describe(state)}."
            )
        return HiddenState(*(by_part[part].transpose(0, 1).contiguous() for part in self._parts))


def _require_version() -> None:
    if not ray.__version__.startswith(TESTED):
        raise ImportError(
            f"ray: expected version {TESTED}x, with which this module was tested, got "
            f"{ray.__version__}. Install 'tamiyo-rl[rllib]'."
        )


def _require_options(model_config: object) -> dict[str, Any]:
    """Return the options of the bundle, or raise before anything is built."""
    if not isinstance(model_config, Mapping):
        raise TypeError(
            f"model_config: expected a dict with {MAX_SEQ_LEN!r}, got "
            f"{type(model_config).__name__} (Ray {ray.__version__})."
        )
    added = {name for name, value in ADDED.items() if model_config.get(name) == value}
    given = {name: value for name, value in model_config.items() if name not in added}
    for name in given:
        if name not in {MAX_SEQ_LEN, *OPTIONS}:
            raise ValueError(
                f"model_config[{name!r}]: expected only {', '.join((MAX_SEQ_LEN, *OPTIONS))}, got "
                f"an option that LSTMPolicyModule does not support (Ray {ray.__version__})."
                + REASONS.get(name, "")
            )
    require_positive(**{f"model_config[{MAX_SEQ_LEN!r}]": given.pop(MAX_SEQ_LEN, None)})
    return given


def _require_loss_mask(batch: Mapping[str, Any]) -> None:
    if Columns.SEQ_LENS in batch and Columns.LOSS_MASK not in batch:
        raise ValueError(
            f"batch[{Columns.LOSS_MASK!r}]: expected the mask of the padding, got None. Keep "
            "RLlib's default learner connectors, which add it."
        )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else f"shape {list(shape)}"
