"""The examples of a page or a docstring: each fenced block, with the output below it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import pytest
from sybil import Document, Region
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer
from sybil.typing import Evaluator

from tests.doctests.left_out import runs_on

LANGUAGES = ("python", "pycon", "console", "toml", "yaml", "json")
OUTPUT = "text"
# Any information line: what the lexer's pattern does not match, it passes over in silence.
LEXER = RawFencedCodeBlockLexer(re.compile(r"(?P<language>[^\n]*)\n?"))


class Docstrings(PythonDocStringDocument):
    """The docstrings of a module, whose names the examples do not see."""

    def __init__(self, text: str, path: str) -> None:
        Document.__init__(self, text, path)


@dataclass(frozen=True)
class Block:
    """A fenced block that runs, and the place of its output.

    Attributes:
        language: Language of the block.
        source: The lines that a reader sees.
        output: The lines of the text block below it; None without such a block.
        indent: Spaces before the fence.
        end: End of the fence, counted from its beginning.
        output_end: End of the text block, counted in the same way; None without such a block.
    """

    language: str
    source: str
    output: str | None
    indent: str
    end: int
    output_end: int | None


class ExampleParser:
    """The parser for Sybil: a region for each example, with the evaluator of its language."""

    def __init__(self, evaluators: Mapping[str, Evaluator], device: str) -> None:
        self._evaluators = evaluators
        self._device = device

    def __call__(self, document: Document) -> Iterator[Region]:
        """Read the examples of a document, or fail its collection."""
        fences = list(_find_fences(document))
        nothing = Region(document.end, document.end, lexemes={"language": ""})
        for above, fence in pairwise([nothing, *fences]):
            if _language(fence) == OUTPUT and not _is_output(document, above, fence):
                raise _fault(document, fence, "expected output directly below a python block")
        for fence, below in pairwise([*fences, nothing]):
            if _language(fence) != OUTPUT and self._runs(document, fence):
                yield self._region(document, fence, below)

    def _runs(self, document: Document, fence: Region) -> bool:
        return runs_on(self._device, _language(fence), _read(document, fence))

    def _region(self, document: Document, fence: Region, below: Region) -> Region:
        has_output = _is_output(document, fence, below)
        block = Block(
            language=_language(fence),
            source=_read(document, fence),
            output=_read(document, below) if has_output else None,
            indent=_indent(document, fence),
            end=fence.end - fence.start,
            output_end=below.end - fence.start if has_output else None,
        )
        return Region(fence.start, fence.end, block, self._evaluators[block.language])


def _find_fences(document: Document) -> Iterator[Region]:
    """Find the blocks in order; what looks like a fence inside a block is part of its content."""
    end = 0
    for fence in sorted(LEXER(document), key=lambda fence: fence.start):
        if fence.start >= end:
            _require_readable(document, fence)
            end = fence.end
            yield fence


def _require_readable(document: Document, fence: Region) -> None:
    """Refuse a fence that Sybil's parsers would skip, or that would be shown as something else."""
    language = _language(fence)
    if language not in (*LANGUAGES, OUTPUT):
        allowed = ", ".join((*LANGUAGES, OUTPUT))
        raise _fault(
            document, fence, f"expected one of {allowed} after backticks, got {language!r}"
        )
    lines = document.text[fence.start : fence.end].split("\n")
    marks = lines[0].removesuffix(language)
    if marks.strip(" ") != "```" or len(lines) == 1 or lines[-1] != marks:
        raise _fault(document, fence, "expected a block between lines of three backticks")


def _is_output(document: Document, above: Region, fence: Region) -> bool:
    """Tell whether a text block stands directly below a python block."""
    between = document.text[above.end : fence.start]
    return (
        (_language(above), _language(fence)) == ("python", OUTPUT)
        and not between.strip()
        and _indent(document, above) == _indent(document, fence)
    )


def _read(document: Document, fence: Region) -> str:
    """Return what a reader sees: the lines of a block, less the indentation of its fence."""
    lines = document.text[fence.start : fence.end].split("\n")[1:-1]
    return "".join(f"{line[len(_indent(document, fence)) :]}\n" for line in lines)


def _language(fence: Region) -> str:
    return str(fence.lexemes["language"])


def _indent(document: Document, fence: Region) -> str:
    return document.text[fence.start : document.text.index("`", fence.start)]


def _fault(document: Document, fence: Region, message: str) -> Exception:
    line = document.line_column(fence.start).partition(",")[0]
    return pytest.Collector.CollectError(f"{document.path}, {line}: {message}.")
