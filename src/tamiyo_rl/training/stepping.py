"""One way to step through a vector environment, whichever way it resets ended episodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate
from numpy.typing import NDArray

from tamiyo_rl.policy.inputs import InputChecks
from tamiyo_rl.policy.protocol import HeadTensors
from tamiyo_rl.policy.spaces import SpaceAdapter
from tamiyo_rl.training.action_masks import ActionMasks, Masks
from tamiyo_rl.training.checks import require_seed
from tamiyo_rl.training.environment_state import environment_state, restore_environment
from tamiyo_rl.training.plain_data import NotPlainError, decode, encode

Flags = NDArray[np.bool_]


class EnvironmentStep(NamedTuple):
    """What one step of a vector environment brought, the same for every autoreset mode.

    Attributes:
        features: What the policy sees next, `[B, F]`.
        rewards: `[B]` float64.
        terminated: `[B]` bool.
        truncated: `[B]` bool.
        starts: `[B]` bool, true where the next step is the first of an episode.
        valid: `[B]` bool, false where this step only reset its environment.
        final_features: `[B, F]`, the features of the true final observations where episodes were
            truncated, if `features` shows the next episode there already; else None.
    """

    features: torch.Tensor
    rewards: NDArray[np.float64]
    terminated: Flags
    truncated: Flags
    starts: Flags
    valid: Flags
    final_features: torch.Tensor | None


class EnvironmentStepper:
    """Steps through a vector environment, whichever way it resets ended episodes.

    With `NEXT_STEP` the step after an end ignores its action and returns the first observation:
    that step is not valid for training. With `SAME_STEP` the ending step returns it already, and
    the final one in `info["final_obs"]`. With `DISABLED` the ended environments are reset here.

    Args:
        envs: The vector environment.
        device: Where the features go; None for PyTorch's default device.

    Attributes:
        steps: Steps taken since the reset, in each environment.
        masks: Which actions are valid next, `[B, actions]`; None if the environment has no masks.

    Raises:
        ValueError: If a space is not supported, or the autoreset mode is none of Gymnasium's.

    Examples:
        ```python
        import torch
        from tamiyo_rl.training import EnvironmentStepper, make_envs

        stepper, left = EnvironmentStepper(make_envs("CartPole-v1", num_envs=2)), torch.zeros(2)
        stepper.reset(seed=0)
        while not (step := stepper.step({"action": left.long()})).terminated.all():
            pass
        step = stepper.step({"action": left.long()})
        print(step.valid.tolist(), step.starts.tolist())
        ```

        ```text
        [False, False] [True, True]
        ```
    """

    def __init__(
        self, envs: VectorEnv[Any, Any, Any], device: torch.device | str | None = None
    ) -> None:
        self.envs, self.device = envs, torch.empty(0, device=device).device
        self.spaces = SpaceAdapter(envs.single_observation_space, envs.single_action_space)
        self.action_masks = ActionMasks(envs)
        self._checks = InputChecks(
            feature_dim=self.spaces.feature_dim,
            action_dims=self.spaces.action_dims,
            num_layers=1,
            hidden_dim=1,
            device=self.device,
            dtype=torch.float32,
            read_values=True,
            steps=(envs.num_envs,),
        )
        self.steps = 0
        self.masks: Masks | None = None
        self._mode = _autoreset_mode(envs)
        self._ended: Flags = np.zeros(envs.num_envs, dtype=np.bool_)

    def reset(self, seed: int | None = None) -> torch.Tensor:
        """Reset every environment, and return the features of the first observations, `[B, F]`.

        Args:
            seed: Of the environments; None for the seeds that they have.

        Raises:
            ValueError: If the seed is none, an observation is not finite, or a mask does not fit.
        """
        if seed is not None:
            require_seed(seed)
        observations, info = self.envs.reset(seed=seed)
        features, masks = self._features(observations, step=0), self.action_masks.read(info)
        self.steps, self.masks, self._ended = 0, masks, np.zeros_like(self._ended)
        return features

    def state_dict(self) -> dict[str, Any]:
        """Return where the episodes stand, and the environments' state, or why it has none."""
        saved = {name: encode(getattr(self, name)) for name in ("steps", "masks", "_ended")}
        try:
            saved["environments"] = environment_state(self.envs)
        except NotPlainError as error:
            saved["not_saved"] = str(error)
        return saved

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned; it must hold the state of the environments."""
        restore_environment(self.envs, state["environments"])
        self.steps, self.masks, self._ended = (
            decode(state[name]) for name in ("steps", "masks", "_ended")
        )

    def step(self, actions: HeadTensors) -> EnvironmentStep:
        """Take one step in every environment.

        Args:
            actions: By head, `[B]`: what `get_action` returned as `.action`.

        Raises:
            TypeError: If an action has the wrong type or dtype.
            ValueError: If an action is out of range, a head is missing, or a mask does not fit; if
                a reward or an observation is not finite, naming the environment and the step.
        """
        taken = self.envs.step(self.spaces.actions(self._checks.actions(actions, None)))
        observations, rewards, terminated, truncated, info = taken
        rewards, step = np.asarray(rewards, dtype=np.float64), self.steps + 1
        require_finite("rewards", rewards, step)
        masks, ended = self.action_masks.read(info), np.logical_or(terminated, truncated)
        final, starts, valid = None, ended, np.ones_like(ended)
        if self._mode == AutoresetMode.NEXT_STEP:
            starts, valid = self._ended, ~self._ended
            masks = self._merged(masks, None, ended)  # what ended ignores its next action
        elif ended.any():
            if truncated.any():
                last = self._final_observations(observations, info, truncated)
                final = self._features(last, step)
            if self._mode == AutoresetMode.DISABLED:
                observations, info = self.envs.reset(options={"reset_mask": ended.copy()})
                masks = self._merged(masks, self.action_masks.read(info), ended)
        features = self._features(observations, step)
        self.steps, self.masks, self._ended = step, masks, ended
        return EnvironmentStep(features, rewards, terminated, truncated, starts, valid, final)

    def _features(self, observations: Any, step: int) -> torch.Tensor:  # noqa: ANN401 - any space
        features = self.spaces.features(observations, self.device)
        if not features.sum().isfinite():  # one pass; a sum of huge numbers may overflow
            require_finite("observations", features.cpu().numpy(), step)
        return features

    def _merged(self, masks: Masks | None, others: Masks | None, rows: Flags) -> Masks | None:
        """Take the other masks in these rows; where there are none, every action is valid."""
        if masks is None and others is None:
            return None
        masks, others = (self.action_masks.all_valid() if m is None else m for m in (masks, others))
        return np.where(rows[:, None], others, masks)

    def _final_observations(self, observations: Any, info: Mapping[str, Any], rows: Flags) -> Any:  # noqa: ANN401 - any space
        """Return the observations with the true final ones in these rows."""
        if self._mode == AutoresetMode.DISABLED:
            return observations
        space: Any = self.envs.single_observation_space
        items = list(iterate(self.envs.observation_space, observations))
        final = _by_environment(self.envs, info["final_obs"])
        for row in np.flatnonzero(rows):
            items[row] = final[row]
        merged: Any = create_empty_array(space, len(items))
        return concatenate(space, items, merged)


def _by_environment(envs: VectorEnv[Any, Any, Any], final: Any) -> Any:  # noqa: ANN401 - any space
    """Return what can be indexed by environment: native environments may batch a Dict or Tuple."""
    if isinstance(final, np.ndarray | list):
        return final
    return list(iterate(envs.observation_space, final))


def _autoreset_mode(envs: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    """Return the mode that the environments declare; Gymnasium's own default if they do not."""
    declared = envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
    try:
        return AutoresetMode(declared)
    except ValueError:
        modes = ", ".join(f"AutoresetMode.{mode.name}" for mode in AutoresetMode)
        raise ValueError(
            f'envs: expected metadata["autoreset_mode"] to be one of {modes}, got {declared!r}.'
        ) from None


def require_finite(name: str, values: NDArray[Any], step: int) -> None:
    """Raise where an environment returned NaN or infinity.

    Args:
        name: What the environment returned.
        values: `[B, ...]`.
        step: Number of the step since the reset, in each environment.

    Raises:
        ValueError: Naming the first such environment, and the step.
    """
    finite = np.isfinite(values)
    if not finite.all():
        place = np.argwhere(~finite)[0]
        raise ValueError(
            f"{name}: expected finite numbers, got {values[tuple(place)]} from environment "
            f"{place[0]} at step {step}\n  do: find out why the environment returns it; nothing "
            "was stored or trained from this step"
        )
