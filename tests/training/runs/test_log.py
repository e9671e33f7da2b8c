"""The log of a run keeps every line that can be read."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import PPOConfig, RecurrentPPO, UpdateReport, make_envs
from tamiyo_rl.training.runs.log import TrainingLog, read_log

STEPS = "time/total_timesteps"


@pytest.fixture(scope="module")
def reports() -> list[UpdateReport]:
    config = PPOConfig(total_steps=96, num_steps=8, sequence_length=4, num_minibatches=2, epochs=1)
    bundle = LSTMPolicyBundle(feature_dim=2, action_dims=2, hidden_dim=4)
    return list(islice(RecurrentPPO(make_envs(num_envs=4), bundle, config).train(), 3))


@pytest.fixture
def path(tmp_path: Path, reports: list[UpdateReport]) -> Path:
    with TrainingLog(tmp_path / "log.csv") as log:
        for report in reports:
            log.add(report)
    return tmp_path / "log.csv"


def test_a_whole_log_needs_no_repair(path: Path) -> None:
    before = path.read_bytes()
    with TrainingLog(str(path), after=96) as log:
        assert log.repaired is None
    assert path.read_bytes() == before
    assert [row[STEPS] for row in read_log(str(path))] == [32, 64, 96]


def test_a_line_that_was_cut_off_is_not_damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])
    with TrainingLog(path, after=96) as log:
        assert log.repaired is None
    assert [row[STEPS] for row in read_log(path)] == [32, 64]


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: bytes(len(line) - 1) + b"\n",
        lambda line: line[:-1] + b",1\n",
        lambda line: b"\n",
    ],
    ids=["zeros", "an extra cell", "an empty line"],
)
def test_a_damaged_line_is_left_out(damage: Callable[[bytes], bytes], path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    before = b"".join([*lines[:2], damage(lines[2]), lines[3]])
    path.write_bytes(before)
    assert [row[STEPS] for row in read_log(path)] == [32, 96]
    with TrainingLog(path, after=96) as log:
        assert log.repaired is not None
        assert log.repaired.startswith(f"{path}: 1 damaged line dropped; {path}.damaged is")
    assert path.read_bytes() == b"".join([*lines[:2], lines[3]])
    assert Path(f"{path}.damaged").read_bytes() == before


def test_a_log_without_its_names_begins_anew(path: Path, reports: list[UpdateReport]) -> None:
    path.write_bytes(bytes(50) + path.read_bytes()[50:])
    with TrainingLog(path, after=64) as log:
        assert log.repaired is not None
        log.add(reports[2])
    assert [row[STEPS] for row in read_log(path)] == [96]


def test_a_log_with_a_column_of_a_user_keeps_it(path: Path, reports: list[UpdateReport]) -> None:
    head, first, *_ = path.read_text().splitlines()
    path.write_text(f"note,{head}\n7,{first}\n")
    with TrainingLog(path, after=32) as log:
        assert log.repaired is None
        log.add(reports[1])
    rows = read_log(path)
    assert [row[STEPS] for row in rows] == [32, 64]
    assert rows[0]["note"] == 7
    assert rows[1]["rollout/ep_len_mean"] == reports[1].episode_length
