"""One way to step through a vector environment, whichever way it resets ended episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import iterate
from numpy.typing import NDArray

from tamiyo_rl.policy.protocol import HeadTensors
from tamiyo_rl.policy.spaces import SpaceAdapter
from tamiyo_rl.training.checks import require_seed
from tamiyo_rl.training.envs.autoreset import autoreset_of
from tamiyo_rl.training.envs.call_counter import CallCounter
from tamiyo_rl.training.envs.masks import ActionMasks, Masks
from tamiyo_rl.training.envs.returned import (
    batch_of_one,
    read_flags,
    read_info,
    read_rewards,
    require_finite,
    require_items,
)
from tamiyo_rl.training.envs.state import NoStateError, environment_state, restore_environment

FINAL = 'info["final_obs"]'
RESET_ITEMS = "observations", "info"
STEP_ITEMS = "observations", "rewards", "terminated", "truncated", "info"

Flags = NDArray[np.bool_]


class EnvironmentStep(NamedTuple):
    """The outcome of one step of a vector environment, the same for every autoreset mode.

    Attributes:
        features: The features that the policy sees next, `[B, F]`.
        rewards: `[B]` float64.
        terminated: `[B]` bool.
        truncated: `[B]` bool.
        starts: `[B]` bool, true where the next step is the first of an episode.
        valid: `[B]` bool, false where this step only reset its environment.
        final_features: `[B, F]`, the features of the true final observations where episodes were
            truncated, if `features` shows the next episode there already; else None. The other
            rows mean nothing.
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

    The stepper converts whatever the environments return, or refuses it by its name. Only the
    stepper may reset or step them: `reset` and `step` of `envs.unwrapped` count their calls.

    Args:
        envs: The vector environment.
        device: Where the features go; None for PyTorch's default device.

    Attributes:
        steps: Steps taken since the reset, in each environment.
        masks: The valid next actions, `[B, actions]` bool; None if the environment has no masks.

    Raises:
        ValueError: If a space is not supported, or the autoreset mode is not one of Gymnasium's.

    Warns:
        UserWarning: If the environments declare no autoreset mode; `NEXT_STEP` is assumed then.

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
        self.envs = envs
        self._num_envs = envs.num_envs  # wrappers take their time to tell it
        self.device = torch.empty(0, device=device).device
        self.spaces = SpaceAdapter(envs.single_observation_space, envs.single_action_space)
        self.action_masks = ActionMasks(envs)
        self.steps = 0
        self.masks: Masks | None = None
        self._autoreset = autoreset_of(envs)
        self._ended: Flags = np.zeros(envs.num_envs, dtype=np.bool_)
        self._counter = CallCounter(envs)
        self._known_calls = -1

    @property
    def is_current(self) -> bool:
        """Whether the environments stand where the last reset or step of this stepper left them."""
        return self._known_calls == self._counter.calls

    def reset(self, seed: int | None = None) -> torch.Tensor:
        """Reset every environment, and return the features of the first observations, `[B, F]`.

        Args:
            seed: Of the environments; None for the seeds that they have.

        Raises:
            TypeError: If the environments returned something of another kind, naming it.
            ValueError: If it is not a seed, an observation is not finite, or a mask does not fit.
        """
        if seed is not None:
            require_seed(seed)
        observations, info = require_items("reset", self.envs.reset(seed=seed), RESET_ITEMS)
        masks = self.action_masks.read(info)
        features = self._features(observations, step=0)
        self._accept(0, masks, np.zeros_like(self._ended))
        return features

    def state_dict(self) -> dict[str, Any]:
        """Return where the episodes stand, and the environments' state, or why it has none."""
        saved: dict[str, Any] = {
            "steps": self.steps,
            "masks": None if self.masks is None else torch.from_numpy(self.masks.copy()),
            "_ended": torch.from_numpy(self._ended.copy()),
        }
        if not self.is_current:
            return saved | {"not_saved": "envs: somebody else has reset or stepped them"}
        try:
            saved["environments"] = environment_state(self.envs)
        except NoStateError as error:
            saved["not_saved"] = str(error)
        return saved

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned; it must hold the state of the environments.

        Raises:
            ValueError: If it is of other environments.
        """
        masks = None if state["masks"] is None else state["masks"].clone().numpy()
        ended = state["_ended"].clone().numpy()
        if np.shape(ended) != self._ended.shape:
            raise ValueError(
                f'state["_ended"]: expected shape {list(self._ended.shape)}, got '
                f"{list(np.shape(ended))}."
            )
        restore_environment(self.envs, state["environments"])
        self._accept(state["steps"], masks, ended)

    @contextmanager
    def unchanged_on_error(self) -> Iterator[None]:
        """Put the environments back where they were if the block raises.

        Environments that do not tell their state, or that have not been reset, stay where the
        block left them, and cannot be stepped on before a reset.
        """
        before = self.state_dict()
        try:
            yield
        except Exception:
            if "environments" in before:
                self.load_state_dict(before)
            raise

    def step(self, actions: HeadTensors) -> EnvironmentStep:
        """Take one step in every environment.

        Args:
            actions: By head, `[B]`: what `get_action` returned as `.action`.

        Raises:
            TypeError: If an action has the wrong type or dtype, or the environments returned
                something of another kind, naming it.
            ValueError: If an action is out of range or a head is missing; if what the environments
                returned has another shape, is not finite, or is not what their autoreset mode
                says, naming it; if somebody else has reset or stepped them since.
        """
        taken = self.spaces.actions(actions, num_envs=self._num_envs)
        self._require_current()
        observations, rewards, terminated, truncated, info = require_items(
            "step", self.envs.step(taken), STEP_ITEMS
        )
        step = self.steps + 1
        num_envs = self._num_envs
        info = read_info(info, num_envs)
        rewards = read_rewards(rewards, num_envs, step)
        terminated = read_flags("terminated", terminated, num_envs)
        truncated = read_flags("truncated", truncated, num_envs)
        masks = self.action_masks.read(info)
        ended = terminated | truncated
        final = None
        if self._autoreset.mode == AutoresetMode.NEXT_STEP:
            self._autoreset.check_step(self._ended, ended, rewards, info)
            starts = self._ended
            valid = ~starts
            masks = self._merged(masks, None, ended)  # what ended ignores its next action
        else:
            starts = ended
            valid = np.ones_like(ended)
            if truncated.any():
                final = self._final_features(observations, info, truncated, step)
            if self._autoreset.mode == AutoresetMode.DISABLED and ended.any():
                observations, others = self._reset_ended(ended)
                masks = self._merged(masks, others, ended)
        features = self._features(observations, step)
        self._accept(step, masks, ended)
        return EnvironmentStep(features, rewards, terminated, truncated, starts, valid, final)

    def _accept(self, steps: int, masks: Masks | None, ended: Flags) -> None:
        """Remember where the environments stand, once all that they returned was accepted."""
        self.steps = steps
        self.masks = masks
        self._ended = ended
        self._known_calls = self._counter.calls

    def _require_current(self) -> None:
        if not self.is_current:
            raise ValueError(
                "envs: expected the environments as the last step left them, got environments "
                "that somebody else has reset or stepped, or whose last step was refused"
                "\n  do: begin new episodes with reset(), or with train() again; evaluate and "
                "record with environments of their own"
            )

    def _features(
        self,
        observations: Any,
        step: int,
        name: str = "observations",
        row: int | None = None,
    ) -> torch.Tensor:
        """Return the features of all environments, or of one."""
        num_envs = self._num_envs if row is None else 1
        columns = self.spaces.columns(observations, name, num_envs=num_envs)
        for path, column in columns.items():
            require_finite(path, column, step, row or 0)
        return self.spaces.join(columns, self.device)

    def _reset_ended(self, ended: Flags) -> tuple[Any, Masks | None]:
        """Reset the ended environments, and return the observations and masks of all."""
        options = {"reset_mask": ended.copy()}
        observations, info = require_items("reset", self.envs.reset(options=options), RESET_ITEMS)
        return observations, self.action_masks.read(info)

    def _merged(self, masks: Masks | None, others: Masks | None, rows: Flags) -> Masks | None:
        """Take the other masks in these rows; None allows every action."""
        if masks is None and others is None:
            return None
        every = self.action_masks.all_valid()
        return np.where(
            rows[:, None],
            every if others is None else others,
            every if masks is None else masks,
        )

    def _final_features(
        self,
        observations: Any,
        info: Mapping[str, Any],
        rows: Flags,
        step: int,
    ) -> torch.Tensor:
        """Return the features of the true final observations in these rows."""
        if self._autoreset.mode == AutoresetMode.DISABLED:
            return self._features(observations, step)
        final = torch.zeros(self._num_envs, self.spaces.feature_dim, device=self.device)
        given = self._final_observations(info)
        for row in np.flatnonzero(rows).tolist():
            if given[row] is None:
                raise ValueError(
                    f'info: expected "final_obs" of environment {row}, whose episode was truncated '
                    f"at step {step}, got none\n  do: return it, as AutoresetMode.SAME_STEP says"
                )
            observation = batch_of_one(given[row])
            final[row] = self._features(observation, step, FINAL, row)[0]
        return final

    def _final_observations(self, info: Mapping[str, Any]) -> Any:
        """Return what can be indexed by environment: native environments may batch a Dict."""
        final = info.get("final_obs")
        num_envs = self._num_envs
        if final is None:
            return [None] * num_envs
        if not isinstance(final, np.ndarray | list):
            self.spaces.columns(final, FINAL, num_envs=num_envs)
            return list(iterate(self.envs.observation_space, final))
        if len(final) != num_envs:
            raise ValueError(
                f"{FINAL}: expected {num_envs} rows, one for each environment, got {len(final)}."
            )
        return final
