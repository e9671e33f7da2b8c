"""The page of the ablation shows the record, and each variant is one change of the base."""

import json
from pathlib import Path
from statistics import median
from typing import Any, cast

import pytest
from benchmarks.ablation.changes import Network
from benchmarks.ablation.labels import LABELS, PEER
from benchmarks.ablation.page import PAGE, RECORD, TASKS, draw, write_page
from benchmarks.ablation.variants import POLICY, VARIANTS

from tamiyo_rl.training import PPOConfig, RecurrentPPO, make_envs

ROOT = Path(__file__).parents[2]


def record() -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads((ROOT / RECORD).read_text("utf-8")))


def test_the_page_is_written_from_the_record(tmp_path: Path) -> None:
    write_page(record(), tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text("utf-8") == (ROOT / PAGE).read_text("utf-8")


def test_the_figure_is_drawn_from_the_record(tmp_path: Path) -> None:
    draw(record(), tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (ROOT / "docs/assets/ablation" / path.name).read_bytes()


TEN = {"base", "peer-settings", "unsettled", "defaults", PEER}
THIRTY = {("CartPole", PEER), ("CartPole", "defaults")} | {
    ("Acrobot", name) for name in (PEER, "defaults", "unsettled")
}


def seeds_of(task: str, name: str) -> int:
    """Return how many seeds a cell of the page has."""
    if (task, name) in THIRTY:
        return 30
    return 10 if name in TEN else 5


def test_the_summary_is_that_of_the_runs() -> None:
    found = record()
    for task in TASKS:
        for name in LABELS:
            steps = [
                run["steps"]
                for run in found["runs"]
                if (run["task"], run["variant"]) == (task, name)
            ]
            middle, low, high = found["summary"][task][name]
            assert len(steps) == seeds_of(task, name)
            assert min(steps) <= low <= middle == median(steps) <= high <= max(steps)


@pytest.mark.parametrize("name", [name for name in LABELS if name != PEER])
def test_each_variant_trains(name: str) -> None:
    variant = VARIANTS[name]
    envs = make_envs(num_envs=4)
    bundle = variant.bundle.from_spaces(
        envs.single_observation_space,
        envs.single_action_space,
        **{**POLICY, "hidden_dim": 8, **variant.policy},
    )
    variant.change_network(cast("Network", bundle.network))
    settings = {"num_steps": 8, "sequence_length": 8, "num_minibatches": 1, **variant.config}
    trainer = RecurrentPPO(envs, bundle, PPOConfig(**settings | {"total_steps": 1024, "epochs": 1}))
    variant.change_trainer(trainer)
    assert next(trainer.train()).steps
