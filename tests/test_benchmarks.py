"""The page of benchmarks and its figure show what is on record."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks import figure
from benchmarks.delayed_recall import DELAY, DelayedRecall
from benchmarks.report import write_page
from benchmarks.timing import median_times

ROOT = Path(__file__).parent.parent
RECORD = json.loads((ROOT / figure.RECORD).read_text("utf-8"))


def test_the_page_is_written_from_the_record(tmp_path: Path) -> None:
    write_page(RECORD, tmp_path / "page.md")
    page = ROOT / "docs" / "reference" / "benchmarks.md"
    assert (tmp_path / "page.md").read_text("utf-8") == page.read_text("utf-8")


def test_the_figure_is_drawn_from_the_record(tmp_path: Path) -> None:
    figure.draw(RECORD["update"], tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_text("utf-8") == (ROOT / figure.FOLDER / path.name).read_text("utf-8")


def test_methods_are_timed_in_turn() -> None:
    calls: list[str] = []
    methods = {name: lambda name=name: calls.append(name) for name in "ab"}
    assert list(median_times(methods, rounds=2)) == ["a", "b"]
    assert calls == ["a", "a", "b", "b"] * 2


@pytest.mark.parametrize("right", [True, False])
def test_recall_pays_for_the_cue_when_it_is_asked_for(right: bool) -> None:
    env = DelayedRecall()
    observation, _ = env.reset(seed=0)
    cue = int(observation.argmax())
    rewards: list[float] = []
    ended = False
    while not ended:
        assert len(rewards) <= DELAY
        observation, reward, ended, _, _ = env.step(np.int64(cue if right else (cue + 1) % 4))
        rewards.append(reward)
    assert rewards == [0.0] * DELAY + [float(right)]
