"""The page about who keeps the contract shows its record, and its questions can be answered no."""

import json
from pathlib import Path

import pytest

from tests.field.contract.page import PAGE, RECORD, REPRODUCED, REPRODUCTIONS, write_page
from tests.field.contract.seen import GAMMA, LAMBDA, LENGTH, Answer, Outputs, Seen, answers

ROOT = Path(__file__).parents[1]


def test_the_page_is_written_from_the_record(tmp_path: Path) -> None:
    record = json.loads((ROOT / RECORD).read_text("utf-8"))
    write_page(record, tmp_path / "page.md")
    assert (tmp_path / "page.md").read_text("utf-8") == (ROOT / PAGE).read_text("utf-8")


def test_each_no_has_a_reproduction_and_each_reproduction_a_no() -> None:
    found = json.loads((ROOT / RECORD).read_text("utf-8"))["answers"]
    noes = {(n, q) for n, answered in found.items() for q, a in answered.items() if not a["kept"]}
    assert noes == set(REPRODUCED)
    files = {path.stem for path in (ROOT / REPRODUCTIONS).glob("*.py")} - {"__init__"}
    assert files == set(REPRODUCED.values())


class Loop:
    """Sums the observations of an episode, two rollouts of five steps, with one mistake."""

    def __init__(self, mistake: str = "") -> None:
        self.mistake = mistake

    def __call__(self, *, length: int, reuses_its_array: bool = False) -> Seen:
        seen = Seen.nothing()
        steps = [i % length + 1 for i in range(10)]
        for start in (0, 5):
            rollout = steps[start : start + 5]
            seen.rollout.append(self.sums(rollout, steps[:start], forgets="rollout"))
            seen.training.append(self.sums(rollout, steps[:start], forgets="training"))
            seen.values.append(seen.rollout[-1])
            seen.targets.append([((step,), (self.target(step),)) for step in rollout])
            seen.stored.extend(rollout)
        seen.reached.extend((step, self.reached(step)) for step in steps)
        if reuses_its_array and self.mistake == "copy":
            seen.stored[:] = steps[-1:] * len(steps)
        return seen

    def sums(self, rollout: list[int], before: list[int], *, forgets: str) -> Outputs:
        total = 0 if self.mistake == "carried" else sum(range(rollout[0]))
        found: Outputs = []
        for step in rollout:
            resets = step == 1 and self.mistake != forgets
            total = step if resets else total + step
            off = 0.5 if self.mistake == "alike" and forgets == "training" else 0.0
            found.append(((step,), (total + off,)))
        return found

    def target(self, step: int) -> float:
        bootstrapped = {"before": LENGTH, "after": 1, "nothing": 0, "other": 7}
        last = bootstrapped.get(self.mistake, LENGTH + 1)
        target = 1 + GAMMA * sum(range(last + 1))
        if self.mistake == "next" and step == LENGTH:
            return 1 + GAMMA * (1 - LAMBDA + LAMBDA * self.target(1))
        return target

    def reached(self, step: int) -> list[int]:
        return (
            [LENGTH, *range(1, step + 1)] if self.mistake == "gradient" else [*range(1, step + 1)]
        )


def noes(found: dict[str, Answer]) -> set[str]:
    return {question for question, answer in found.items() if not answer.kept}


def test_a_right_loop_keeps_it_all() -> None:
    assert noes(answers(Loop())) == set()


@pytest.mark.parametrize(
    ("mistake", "broken"),
    [
        ("rollout", {"rollout", "alike", "carried"}),
        ("training", {"training", "alike", "carried"}),
        ("alike", {"alike"}),
        ("carried", {"carried"}),
        ("gradient", {"gradient"}),
        ("copy", {"copy"}),
    ],
)
def test_a_mistake_is_answered_no(mistake: str, broken: set[str]) -> None:
    assert noes(answers(Loop(mistake))) == broken


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("before", "the observation before the last"),
        ("after", "the observation after the reset"),
        ("nothing", "nothing"),
        ("next", "the next episode"),
        ("other", "another value"),
    ],
)
def test_what_a_truncation_is_bootstrapped_from_is_told(mistake: str, told: str) -> None:
    assert answers(Loop(mistake))["bootstrap"] == Answer(kept=False, measured=told)
