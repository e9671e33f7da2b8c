"""Each callback reports a broken training, raises if it is to, and leaves nothing behind."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tamiyo_rl import ContractError

pytestmark = pytest.mark.field


def fit_lightning(callback: Any, *, broken: bool) -> None:
    cases = importlib.import_module("tests.field.lightning_cases")
    module = cases.DetachedTerm() if broken else cases.Recurrent()
    cases.training(module, callbacks=[callback]).learn()


def train_transformers(callback: Any, *, broken: bool) -> None:
    cases = importlib.import_module("tests.field.transformers_cases")
    model = cases.DetachedTerm() if broken else cases.Scorer()
    cases.training(model, callbacks=[callback]).learn()


def learn_sb3(callback: Any, *, broken: bool) -> None:
    cases = importlib.import_module("tests.field.sb3_contrib_cases")
    model = cases.make(cases.RolloutValues if broken else "MlpLstmPolicy")
    model.learn(cases.STEPS, callback=callback)


TRAININGS = {
    "lightning": fit_lightning,
    "transformers": train_transformers,
    "stable_baselines3": learn_sb3,
}


@pytest.mark.parametrize(("library", "train"), TRAININGS.items())
def test_a_callback_watches(library: str, train: Callable[..., None]) -> None:
    make: Any = importlib.import_module(f"tamiyo_rl.integrations.{library}").WatchCallback
    before = torch.autograd.backward
    right, wrong, unused = make(), make(), make()
    assert unused.report is None
    train(right, broken=False)
    train(wrong, broken=True)
    assert right.report.problems == ()
    assert "no-gradient" in [problem.rule for problem in wrong.report.problems]
    with pytest.raises(ContractError, match="does not train what it should"):
        train(make(raise_if_broken=True), broken=True)
    assert torch.autograd.backward is before
