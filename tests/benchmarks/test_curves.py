"""The page of mistakes shows the records, and each mistake is noticed as the page says."""

import re
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import pytest
import torch
from benchmarks.curves import figures, records
from benchmarks.curves.loop import Loop
from benchmarks.curves.mistakes import (
    InitialStateDetached,
    PolicyLossFromTheRollout,
    ResetsIgnored,
    ValueLossFromTheRollout,
)
from benchmarks.curves.runs import RUNS
from benchmarks.curves.tasks import make_repeat

from tamiyo_rl import ContractError, LSTMPolicyBundle
from tamiyo_rl.training import PPOConfig, RecurrentPPO

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "what-the-bug-looks-like.md").read_text("utf-8")
SETTINGS = PPOConfig(total_steps=256, num_steps=32, sequence_length=32, epochs=1)


def test_the_table_is_that_of_the_records() -> None:
    assert "\n".join(records.table(RUNS)) in PAGE


def test_each_run_was_trained_with_five_seeds_to_its_end() -> None:
    for name in RUNS:
        curves = records.read(name)
        assert len(curves) == 5, name
        assert len({tuple(curve.steps) for curve in curves}) == 1, name


def test_numbers_in_the_descriptions_are_those_of_the_records() -> None:
    ends = {name: fmean(curve.returns[-1] for curve in records.read(name)) for name in RUNS}
    best, worst, tuned = (
        ends[name] for name in ("cartpole-correct", "cartpole-policy-loss", "tune-correct")
    )
    described = set(re.findall(r"!\[.*?([\d.]+), the mistaken one stays at (\d+)\.\]", PAGE))
    assert described == {(f"{best:.0f}", f"{worst:.0f}")}
    assert set(re.findall(r"rises to ([\d.]+) of 8", PAGE)) == {f"{tuned:.1f}"}


def test_the_figures_are_drawn_from_the_records(tmp_path: Path) -> None:
    figures.draw_all(tmp_path)
    drawn = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    committed = {p.name: p.read_text("utf-8") for p in (ROOT / figures.FOLDER).iterdir()}
    assert drawn == committed
    assert set(re.findall(r"mistakes/([\w-]+\.svg)#", PAGE)) == set(committed)


T = TypeVar("T", Loop, RecurrentPPO)


def make(policy: type[LSTMPolicyBundle], trainer: type[T]) -> T:
    envs = make_repeat(8, shown=True)
    spaces = envs.single_observation_space, envs.single_action_space
    bundle = policy.from_spaces(*spaces, hidden_dim=8, learn_initial_hidden=False)
    return trainer(envs, bundle, SETTINGS)


@pytest.mark.parametrize(
    ("policy", "term"), [(PolicyLossFromTheRollout, "policy"), (ValueLossFromTheRollout, "value")]
)
def test_a_constant_term_is_refused_by_the_trainer(
    policy: type[LSTMPolicyBundle], term: str
) -> None:
    with pytest.raises(ContractError, match=f"terms without a gradient: {term}"):
        next(make(policy, RecurrentPPO).train())


def test_a_detached_initial_state_is_refused_by_the_trainer() -> None:
    envs = make_repeat(8, shown=True)
    bundle = InitialStateDetached(4, 4, hidden_dim=8, learn_initial_hidden=True)
    with pytest.raises(ContractError, match=r"nothing trains: core\.initial_cell"):
        next(RecurrentPPO(envs, bundle, SETTINGS).train())


def test_ignored_resets_move_the_first_ratio() -> None:
    errors = {
        policy: next(make(policy, Loop).train()).first_ratio_error
        for policy in (LSTMPolicyBundle, ResetsIgnored)
    }
    assert errors[ResetsIgnored] > 100 * errors[LSTMPolicyBundle]


def test_the_loop_trains_every_parameter() -> None:
    loop = make(LSTMPolicyBundle, Loop)
    before = [parameter.detach().clone() for parameter in loop.bundle.parameters()]
    next(loop.train())
    assert not any(map(torch.equal, before, loop.bundle.parameters()))
