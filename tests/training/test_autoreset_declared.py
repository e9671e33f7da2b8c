"""The autoreset mode that is declared, or assumed, against what the environments do."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.wrappers.vector import NormalizeReward, TransformReward

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import (
    EnvironmentStepper,
    FeatureNormalizer,
    PPOConfig,
    RecurrentPPO,
    evaluate_policy,
    make_envs,
)
from tests.training.scripted import KINDS, SCRIPTS, End, NativeScripted, make_vector

LONG = [[End(5, truncated=False)]] * 3
SHORT = [[End(1, truncated=False)]] * 3
LEFT = {"action": torch.zeros(3, dtype=torch.long)}
UNDECLARED = r'envs: expected metadata\["autoreset_mode"\] of .*, got none; AutoresetMode.NEXT_STEP is'
DOUBT = "envs: expected a step that only resets after each end, .*, got"


class Silent(NativeScripted):
    """Says nothing of its mode, and returns no more than it has to."""

    def __init__(self, mode: AutoresetMode, scripts: Any = SCRIPTS, *, final: bool = False) -> None:
        super().__init__(scripts, mode)
        self.metadata, self.final = {}, final

    def step(self, actions: Any) -> Any:
        *taken, info = super().step(actions)
        return *taken, info if self.final else {}


def play(envs: VectorEnv[Any, Any, Any], steps: int = 20) -> None:
    stepper = EnvironmentStepper(envs)
    stepper.reset(seed=0)
    for _ in range(steps):
        stepper.step(LEFT)


@pytest.mark.parametrize(
    ("scripts", "final", "got"),
    [
        (LONG, False, "a reward of 0.84.* from environment 0"),
        (SHORT, False, "the end of an episode from environment 0"),
        (LONG, True, r'info\["final_obs"\] from environment 0'),
    ],
)
def test_a_reset_in_the_same_step_that_is_not_declared_is_refused(
    scripts: Any, final: bool, got: str
) -> None:
    envs = Silent(AutoresetMode.SAME_STEP, scripts, final=final)
    with pytest.warns(UserWarning, match=UNDECLARED), pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        play(envs)
    assert f"{DOUBT} {got}".split(".*")[0] in str(caught.value).replace("\n", " ")
