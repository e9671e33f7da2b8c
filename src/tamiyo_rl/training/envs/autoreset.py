"""How a vector environment resets ended episodes: what it declares, and what it does."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorRewardWrapper, VectorWrapper
from numpy.typing import NDArray

Envs = VectorEnv[Any, Any, Any]
Flags = NDArray[np.bool_]
DECLARE = 'envs.metadata = {**envs.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}'
REWARDED_RESET = (
    "rewards: expected 0 at a step that only resets, as AutoresetMode.NEXT_STEP says, got another "
    "reward; it is not trained on\n  do: return 0 there; or, if the environments reset in the same "
    f"step, declare it: {DECLARE}"
)


class Autoreset(NamedTuple):
    """The autoreset mode of a vector environment.

    Attributes:
        mode: What the environment declares; if it declares no mode, Gymnasium's default.
        is_declared: Whether the environment declares it.
        keeps_rewards: Whether no wrapper changes the rewards.
    """

    mode: AutoresetMode
    is_declared: bool
    keeps_rewards: bool

    def check_step(
        self,
        rows: Flags,
        ended: Flags,
        rewards: NDArray[np.float64],
        info: Mapping[str, Any],
    ) -> None:
        """Check that a step only reset the environments of these rows, as `NEXT_STEP` has it.

        A declared mode is refused where a reset ends an episode, and doubted where it brings a
        reward. A mode that is only assumed is refused in both cases, and where the step that ends
        an episode brings the final observation beside another one.

        Args:
            rows: `[B]`, true where an episode ended one step before.
            ended: `[B]`, true where this step ended an episode.
            rewards: `[B]`, of this step.
            info: Of this step.

        Raises:
            ValueError: If an environment did more than reset.
        """
        if not self.is_declared and "final_obs" in info and ended.any():
            raise ValueError(_more_than_reset('info["final_obs"]', ended))
        if not rows.any():
            return
        if (rows & ended).any():
            raise ValueError(_more_than_reset("the end of an episode", rows & ended))
        rewarded = rows & (rewards != 0)
        if not rewarded.any():
            return
        if not self.is_declared:
            raise ValueError(_more_than_reset(f"a reward of {rewards[rewarded][0]}", rewarded))
        if self.keeps_rewards:
            warnings.warn(REWARDED_RESET, stacklevel=3)


def autoreset_of(envs: Envs) -> Autoreset:
    """Return the autoreset mode, and warn if the environments declare no mode.

    Raises:
        ValueError: If it is not one of Gymnasium's.
    """
    declared = envs.metadata.get("autoreset_mode")
    if declared is None:
        warnings.warn(
            f'envs: expected metadata["autoreset_mode"] of {envs}, got none; AutoresetMode.'
            "NEXT_STEP is assumed: after an end, one step only resets"
            f"\n  do: declare the mode, such as {DECLARE}",
            stacklevel=3,
        )
        return Autoreset(AutoresetMode.NEXT_STEP, is_declared=False, keeps_rewards=False)
    try:
        mode = AutoresetMode(declared)
    except ValueError:
        modes = ", ".join(f"AutoresetMode.{mode.name}" for mode in AutoresetMode)
        raise ValueError(
            f'envs: expected metadata["autoreset_mode"] to be one of {modes}, got {declared!r}.'
        ) from None
    return Autoreset(mode, is_declared=True, keeps_rewards=_keeps_rewards(envs))


def _keeps_rewards(envs: Envs) -> bool:
    if isinstance(envs, VectorRewardWrapper):
        return False
    return _keeps_rewards(envs.env) if isinstance(envs, VectorWrapper) else True


def _more_than_reset(got: str, rows: Flags) -> str:
    return (
        "envs: expected a step that only resets after each end, as AutoresetMode.NEXT_STEP says, "
        f"got {got} from environment {np.flatnonzero(rows)[0]}: it seems to reset in the same "
        "step, or not at all"
        f"\n  do: declare the mode that it has, such as {DECLARE}"
    )
