"""The page "Look up an error" quotes messages that the package writes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.test_error_messages import MESSAGES as OF_THE_CONTRACT
from tests.policy.test_error_messages import MESSAGES as OF_THE_POLICY
from tests.recurrent.test_error_messages import MESSAGES as OF_THE_LSTM

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/reference/errors.md").read_text("utf-8")
QUOTED = re.findall(r"^\| `(.+?)` \| \S.* \| \S.* \|$", PAGE, re.MULTILINE)
RAISED = {*OF_THE_CONTRACT, *OF_THE_POLICY, *OF_THE_LSTM}

FIELD = None  # stands in a template for what depends on the call
MOSTLY = 0.6  # a template that is nearly all fields can write any message
Template = tuple[str | None, ...]


def find_templates() -> Iterator[Template]:
    """Find the texts of the source, character by character, with a `FIELD` for each field."""
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield read_template(node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield tuple(node.value)


def read_template(parts: list[ast.expr]) -> Template:
    template: list[str | None] = []
    for part in parts:
        template += str(part.value) if isinstance(part, ast.Constant) else [FIELD]
    return tuple(template)


def count_fixed(text: str, template: Template) -> int:
    """Count the characters that the template fixes in a message that begins with `text`, or 0."""
    fixed = {0: 0}  # by the place that the template has reached
    for char in text:
        reached: dict[int, int] = {}
        for place, count in fixed.items():
            for after, more in go_on(template, place, char):
                reached[after] = max(reached.get(after, 0), count + more)
        fixed = reached
    return max(fixed.values(), default=0)


def go_on(template: Template, place: int, char: str) -> list[tuple[int, int]]:
    """Return where a template can be after one more character, and whether it fixes that."""
    if place == len(template):
        return []
    if template[place] is FIELD:
        return [(place, 0), *go_on(template, place + 1, char)]
    return [(place + 1, 1)] if template[place] == char else []


TEMPLATES = set(find_templates())


def is_a_message(quoted: str) -> bool:
    beginning = quoted.removesuffix("...").rstrip()
    if any(message.startswith(beginning) for message in RAISED):
        return True
    return any(count_fixed(beginning, t) > MOSTLY * len(beginning) for t in TEMPLATES)


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_message_is_a_message_of_the_package(quoted: str) -> None:
    assert is_a_message(quoted)


@pytest.mark.parametrize(
    "quoted",
    [
        "features: expected a shape [batch, features=4], got ...",
        "num_minibatches: expected a divisor of 32 rows, got ...",
        "runs/mine: expected a directory without a run, got the folder of one",
        "anything: expected whatever you like, got ...",
    ],
)
def test_another_wording_is_not_a_message_of_the_package(quoted: str) -> None:
    assert not is_a_message(quoted)


def test_every_row_quotes_a_message_once() -> None:
    rows = re.findall(r"^\| (?!message|---).*$|^\|---", PAGE, re.MULTILINE)
    headers = PAGE.count("|---|---|---|")
    assert len(QUOTED) == len(set(QUOTED)) == len(rows) - headers
