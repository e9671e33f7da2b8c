"""What stands between the fences: code that would be shown there, but never run."""

import re
from collections.abc import Iterator

from tests.docs.fences import Fence
from tests.docs.passages import Passage

Line = tuple[int, str]

FENCE_LIKE = re.compile(r".*```|\W*(\d+\W+)?~~~")
PROMPT = re.compile(r"[\s>*+\-\d.)]*>>>")
INLINE_CODE = re.compile(r"`[^`]*`")
HTML_CODE = re.compile(r"<(pre|code)\b", re.IGNORECASE)
LIST_ITEM = re.compile(r"(?P<indent> *)(?:[-*+]|\d+[.)]) +")
# Admonitions, tabs, footnotes and definitions; in docstrings the sections of Google's style.
BLOCK = re.compile(r"(?P<indent> *)(?:!!!|\?\?\?|===|\[\^[^\]]+\]:|:) *")
SECTION = re.compile(r"(?P<indent> *)[A-Z]\w*:")
CODE_INDENT = 4


def find_faults(passage: Passage, fences: list[Fence]) -> Iterator[Line]:
    """Find what looks like code outside the fences: lines, and what to do about them."""
    lines = list(_read_lines(passage, fences))
    for number, line in lines:
        if FENCE_LIKE.match(line):
            yield number, "expected a fence on a line of its own; came one that would not run."
        if PROMPT.match(line):
            yield number, "expected '>>>' only in a pycon fence; move it there."
        if HTML_CODE.search(INLINE_CODE.sub("", line)):
            yield number, "expected code in a fence; came raw HTML."
    for number in _find_indented_code(lines, is_docstring=passage.is_docstring):
        yield number, "expected code in a fence; came a line indented as code without one."


def _read_lines(passage: Passage, fences: list[Fence]) -> Iterator[Line]:
    """Read the lines, less the margin of a docstring, with a stand-in for each fence."""
    text = passage.text.expandtabs(CODE_INDENT).split("\n")
    margin = _measure_margin(text) if passage.is_docstring else 0
    openers = {fence.line: fence for fence in fences}
    inside = {n for fence in fences for n in range(fence.line, fence.last_line + 1)}
    for number, line in enumerate(text, passage.line):
        if number in openers:
            stand_in = f"{openers[number].indent[margin:]}(fence)"
            yield from ((number, ""), (number, stand_in), (number, ""))
        elif number not in inside:
            yield number, line if number == passage.line else line[margin:]


def _measure_margin(lines: list[str]) -> int:
    return min((_measure_indent(line) for line in lines[1:] if line.strip()), default=0)


def _measure_indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _find_indented_code(lines: list[Line], *, is_docstring: bool) -> Iterator[int]:
    """Find lines that are indented as code, by the innermost list or block they stand in.

    Of the two rules that renderers have for lists (the content of an item begins right
    after its marker, or four columns after it), whichever makes a line code holds.
    """
    opened: list[tuple[int, int]] = []  # the columns of each marker and of its content
    after_blank = True
    for number, line in lines:
        if not line.strip():
            after_blank = True
            continue
        indent, content = _measure_indent(line), _find_content(line, is_docstring=is_docstring)
        opened = _close_blocks(opened, indent, is_text=after_blank and content is None)
        if after_blank and indent >= CODE_INDENT + (opened[-1][1] if opened else 0):
            yield number
        if content is not None:
            opened.append((indent, content))
        after_blank = False


def _close_blocks(
    opened: list[tuple[int, int]], indent: int, *, is_text: bool
) -> list[tuple[int, int]]:
    """Drop the blocks which a line ends: text must be indented to stay in a block."""
    needed = CODE_INDENT if is_text else 1
    return [(marker, content) for marker, content in opened if indent >= marker + needed]


def _find_content(line: str, *, is_docstring: bool) -> int | None:
    """Find the column where the content of a list item or of a block begins."""
    if item := LIST_ITEM.match(line):
        return item.end()
    block = BLOCK.match(line) or (SECTION.match(line) if is_docstring else None)
    return block.end("indent") + CODE_INDENT if block else None
