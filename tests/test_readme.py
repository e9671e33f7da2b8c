"""The figures that the README, the home page and the tutorial quote are those on record."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tools.curves.__main__ import FOLDER, draw, read_curve

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
HOME = (ROOT / "docs/index.md").read_text("utf-8")
TUTORIAL = (ROOT / "docs/tutorial.md").read_text("utf-8")
COLUMNS = {
    "tamiyo-rl": "tamiyo-rl",
    "nn.LSTM that ignores resets": "raw nn.LSTM, no resets",
    "TorchRL": "TorchRL (pad, eager)",
    "split and pad": "split and pad",
    "sb3-contrib": "sb3-contrib",
}


def read_update() -> list[dict[str, Any]]:
    """Read the record of one PPO update with minibatches of 16 rows."""
    (path,) = (ROOT / "benchmarks").rglob("results.json")
    cases = json.loads(path.read_text("utf-8"))["update"]["cases"]
    return [case for case in cases if case["rows"] == 16]


def write_table() -> str:
    """Write the table of the times of an update."""
    lines = [f"| resets | {' | '.join(COLUMNS)} |", "|" + "---|" * (1 + len(COLUMNS))]
    for case in read_update():
        times = [f"{1e3 * case['seconds'][method]:.0f}" for method in COLUMNS.values()]
        lines.append(f"| {100 * case['reset rate']:.0f} % | {' | '.join(times)} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("page", [README, HOME], ids=["README", "home"])
def test_the_times_are_those_on_record(page: str) -> None:
    assert write_table() in page, f"the table on record is now\n{write_table()}"


@pytest.mark.parametrize("page", [README, TUTORIAL], ids=["README", "tutorial"])
def test_the_described_curve_is_the_recorded_one(page: str) -> None:
    _, returns = read_curve()
    described = re.findall(r"mean return rises from (\d+) to (\d+) of 500", page)
    assert set(described) == {(f"{returns[0]:.0f}", f"{returns[-1]:.0f}")}


def test_the_curve_is_drawn_from_the_record(tmp_path: Path) -> None:
    draw(tmp_path)
    drawn = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert drawn == {path.name: path.read_text("utf-8") for path in (ROOT / FOLDER).iterdir()}
    shown = set(re.findall(r"assets/tutorial/([\w-]+\.svg)", TUTORIAL))
    assert shown == set(re.findall(r"assets/tutorial/([\w-]+\.svg)", README)) == set(drawn)
