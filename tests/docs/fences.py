"""The fenced blocks of a passage, and what is wrong with them."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sybil import Document, Region
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from tests.docs.passages import Passage

# Takes any information line: the lexer passes over what its pattern does not match.
LEXER = RawFencedCodeBlockLexer(re.compile(r"[^\n]*(?:\n|$)"))
OPENER = re.compile(r"(?P<indent>[^`~]*)(?P<marks>`+|~+)(?P<language>.*)")
PROMPT = re.compile(r"\s*>>>(\s|$)")


@dataclass(frozen=True)
class Fence:
    """One fenced block, and its place in the file."""

    indent: str
    marks: str
    language: str
    body: tuple[str, ...]
    closer: str | None
    line: int
    start: int
    end: int

    @property
    def source(self) -> str:
        """What a reader sees: the lines, less the indentation of the fence."""
        return "".join(f"{line[len(self.indent) :]}\n" for line in self.body)

    @property
    def last_line(self) -> int:
        """The line in the file where the block ends."""
        return self.line + len(self.body) + (self.closer is not None)


def find_fences(passage: Passage) -> list[Fence]:
    """Find the blocks of a passage, in order."""
    fences: list[Fence] = []
    end = 0
    for region in sorted(LEXER(Document(passage.text, "")), key=lambda found: found.start):
        # What looks like a fence inside a fence is part of its content.
        if region.start >= end:
            fences.append(_read_fence(passage, region))
            end = region.end
    return fences


def _read_fence(passage: Passage, region: Region) -> Fence:
    opener, *body = passage.text[region.start : region.end].split("\n")
    parts = OPENER.fullmatch(opener)
    assert parts is not None, f"Sybil took {opener!r} for a fence"
    is_closed = bool(body) and body[-1].rstrip() == parts["indent"] + parts["marks"]
    return Fence(
        **parts.groupdict(),
        closer=body.pop() if is_closed else None,
        body=tuple(body),
        line=passage.line + passage.text.count("\n", 0, region.start),
        start=passage.start + region.start,
        end=passage.start + region.end,
    )


def find_faults(fence: Fence, languages: Collection[str]) -> Iterator[tuple[int, str]]:
    """Find what keeps a fence from being run: lines, and what to do about them."""
    if fence.indent.strip(" "):
        yield fence.line, f"expected only spaces before a fence; came {fence.indent!r}."
    if fence.marks != "```":
        yield fence.line, f"expected a fence of three backticks; came {fence.marks!r}."
    if fence.closer is None:
        yield fence.line, "expected a line that closes this fence, indented like it; came none."
    if fence.language not in languages:
        allowed = f"one of {', '.join(languages)}"
        yield fence.line, f"expected {allowed} alone after backticks; came {fence.language!r}."
    yield from _find_faults_in_body(fence)


def _find_faults_in_body(fence: Fence) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(fence.body, fence.line + 1):
        if line.strip() and not line.startswith(fence.indent):
            yield number, "expected a line indented at least like its fence; came less."
        if "```" in line:
            yield number, f"expected the end of the fence of line {fence.line} before another one."
        if fence.language != "pycon" and PROMPT.match(line):
            yield number, "expected '>>>' only in a pycon fence; move it there."
