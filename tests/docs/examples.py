"""The examples of a file: each fence with its output, or all that is wrong with them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from sybil import Document, Region
from sybil.typing import Evaluator

from tests.docs import fences, prose
from tests.docs.fences import Fence
from tests.docs.left_out import runs_on
from tests.docs.passages import DocumentationError, Passage, find_passages

LANGUAGES = ("python", "pycon", "console", "toml", "yaml", "json")
OUTPUT = "text"


@dataclass(frozen=True)
class Block:
    """A fence that runs, and the fence with its output if there is one."""

    fence: Fence
    output: Fence | None


class ExampleParser:
    """The parser for Sybil: a region for each example, with the evaluator of its language."""

    def __init__(self, evaluators: Mapping[str, Evaluator], device: str) -> None:
        self._evaluators, self._device = evaluators, device

    def __call__(self, document: Document) -> Iterator[Region]:
        """Read the examples of a file."""
        for block in read_blocks(document.text, Path(document.path)):
            if runs_on(self._device, block.fence.language, block.fence.source):
                evaluator = self._evaluators[block.fence.language]
                yield Region(block.fence.start, block.fence.end, block, evaluator)


def read_blocks(text: str, path: Path) -> list[Block]:
    """Read the examples of a file, or fail collection with all that is wrong in it."""
    try:
        passages = find_passages(text, path.suffix)
    except DocumentationError as error:
        raise pytest.Collector.CollectError(f"{path}:{error.line}: {error}") from error
    if faults := [fault for passage in passages for fault in _find_faults(passage)]:
        report = "\n".join(f"{path}:{line}: {message}" for line, message in sorted(faults))
        raise pytest.Collector.CollectError(report)
    return [block for passage in passages for block in _pair_blocks(passage)]


def _find_faults(passage: Passage) -> Iterator[tuple[int, str]]:
    found = fences.find_fences(passage)
    for fence in found:
        yield from fences.find_faults(fence, (*LANGUAGES, OUTPUT))
    yield from prose.find_faults(passage, found)
    paired = [block.output for block in _pair_blocks(passage)]
    for fence in found:
        if fence.language == OUTPUT and fence not in paired:
            yield fence.line, "expected output directly below a python fence; came it elsewhere."


def _pair_blocks(passage: Passage) -> Iterator[Block]:
    found = fences.find_fences(passage)
    for fence, below in zip(found, [*found[1:], None], strict=False):
        if fence.language != OUTPUT:
            has_output = below is not None and _is_output(passage, fence, below)
            yield Block(fence, below if has_output else None)


def _is_output(passage: Passage, fence: Fence, below: Fence) -> bool:
    between = passage.text[fence.end - passage.start : below.start - passage.start]
    return (
        (fence.language, below.language) == ("python", OUTPUT)
        and fence.indent == below.indent
        and not between.strip()
    )
