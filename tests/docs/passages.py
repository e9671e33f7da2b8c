"""The passages of Markdown in a file: a whole page, or each docstring of a module."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

LITERAL = re.compile(
    r"""[rRuU]?(?P<quotes>"{3}|'{3}|"|')(?P<text>.*)(?P=quotes)""",
    re.DOTALL,
)


class DocumentationError(Exception):
    """Documentation that cannot be read, with the line at fault."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Passage:
    """A text, the place in its file where it begins, and whether it is a docstring."""

    text: str
    start: int = 0
    line: int = 1
    is_docstring: bool = False


def find_passages(source: str, suffix: str) -> list[Passage]:
    """Find the passages of a file."""
    return list(find_docstrings(source)) if suffix == ".py" else [Passage(source)]


def find_docstrings(source: str) -> Iterator[Passage]:
    """Find every string that stands as a statement: also the docstrings of attributes."""
    lines = source.split("\n")
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            # ast counts columns in bytes.
            before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
            start = starts[node.lineno - 1] + len(before)
            yield from _read_literal(source, node.value, start)


def _read_literal(source: str, node: ast.Constant, start: int) -> Iterator[Passage]:
    if not isinstance(node.value, str):
        return
    literal = LITERAL.fullmatch(ast.get_source_segment(source, node) or "")
    # With an escape, the lines of the value are not those of the file.
    if literal is None or literal["text"] != node.value:
        raise DocumentationError(
            node.lineno,
            "expected a docstring that reads as it is written; came one with an escape, "
            'or joined from several strings. Write it as one r"""raw string""".',
        )
    yield Passage(literal["text"], start + literal.start("text"), node.lineno, is_docstring=True)
