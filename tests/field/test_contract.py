"""The questions about the contract tell a library that is broken, and each no is reproduced."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.field.contract.page import REPRODUCED, REPRODUCTIONS, ROOT
from tests.field.contract.seen import answers

pytestmark = pytest.mark.field


@pytest.mark.parametrize("name", sorted(set(REPRODUCED.values())))
def test_a_reproduction_runs_by_itself(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-P", str(ROOT / REPRODUCTIONS / f"{name}.py")]
    subprocess.run(command, check=True, cwd=tmp_path)  # noqa: S603 - our own file


def test_a_policy_that_does_not_reset_is_told() -> None:
    policies: Any = pytest.importorskip("sb3_contrib.common.recurrent.policies")
    of_sb3_contrib = pytest.importorskip("tests.field.contract.of_sb3_contrib")

    class Careless(policies.RecurrentActorCriticPolicy):
        @staticmethod
        def _process_sequence(
            features: torch.Tensor, states: Any, starts: torch.Tensor, lstm: torch.nn.LSTM
        ) -> Any:
            process = policies.RecurrentActorCriticPolicy._process_sequence
            return process(features, states, torch.zeros_like(starts), lstm)

    found = answers(lambda **clock: of_sb3_contrib.observe(Careless, **clock))
    assert not found["rollout"].kept
    assert not found["training"].kept
    assert not found["carried"].kept
