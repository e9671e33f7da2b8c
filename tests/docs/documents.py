"""Which files are documentation, and the examples in each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
from sybil import Document, Region
from sybil.typing import Evaluator

from tests.docs import prose
from tests.docs.fences import Fence, find_fences
from tests.docs.fences import find_faults as find_faults_of_fence
from tests.docs.passages import DocumentationError, Passage, find_passages

PATTERNS = ("README.md", "docs/**/*.md", "src/**/*.py")
EXAMPLES = ("python", "pycon", "console", "toml", "yaml", "json")
OUTPUT = "text"


@dataclass(frozen=True)
class Block:
    """An example, and the fence with its output if there is one."""

    fence: Fence
    output: Fence | None = None


def find_documents(root: Path) -> list[Path]:
    """Find the files of the documentation."""
    return sorted(path for pattern in PATTERNS for path in root.glob(pattern))


def count_examples(root: Path) -> dict[str, int]:
    """Count the examples of each file that has any."""
    counts = {
        path.relative_to(root).as_posix(): len(read_blocks(path.read_text("utf-8"), path))
        for path in find_documents(root)
    }
    return {name: count for name, count in counts.items() if count}


class ExampleParser:
    """The parser for Sybil: a region for each example, with the evaluator of its language."""

    def __init__(self, evaluators: Mapping[str, Evaluator]) -> None:
        self._evaluators = evaluators

    def __call__(self, document: Document) -> Iterator[Region]:
        """Read the examples of a file."""
        for block in read_blocks(document.text, Path(document.path)):
            evaluator = self._evaluators[block.fence.language]
            yield Region(block.fence.start, block.fence.end, block, evaluator)


def read_blocks(text: str, path: Path) -> list[Block]:
    """Read the examples of a file, or fail collection with all that is wrong in it."""
    try:
        passages = find_passages(text, path.suffix)
    except DocumentationError as error:
        raise pytest.Collector.CollectError(f"{path}:{error.line}: {error}") from error
    faults = [fault for passage in passages for fault in _find_faults(passage)]
    if faults:
        lines = [f"{path}:{line}: {message}" for line, message in sorted(faults)]
        raise pytest.Collector.CollectError("\n".join(lines))
    return [block for passage in passages for block in _pair_outputs(find_fences(passage))]


def _find_faults(passage: Passage) -> Iterator[tuple[int, str]]:
    fences = find_fences(passage)
    for fence in fences:
        yield from find_faults_of_fence(fence, (*EXAMPLES, OUTPUT))
    yield from prose.find_faults(passage, fences)
    yield from _find_stray_outputs(passage, fences)


def _find_stray_outputs(passage: Passage, fences: list[Fence]) -> Iterator[tuple[int, str]]:
    for above, fence in pairwise([None, *fences]):
        if fence.language == OUTPUT and not _is_output(passage, above, fence):
            yield (
                fence.line,
                "expected a text fence only directly below a python fence, indented like it; "
                "came one that is the output of nothing.",
            )
