"""The files of the documentation, and their examples."""

from pathlib import Path

from sybil import Document

from tests.doctests.examples import LANGUAGES, Block, Docstrings, ExampleParser

PATTERNS = ("README.md", "docs/**/*.md", "src/**/*.py")


def find_documents(root: Path) -> list[Path]:
    """Find the files of the documentation."""
    return sorted(path for pattern in PATTERNS for path in root.glob(pattern))


def read_blocks(path: Path) -> list[Block]:
    """Read the examples of a file, without running them."""
    kind = Docstrings if path.suffix == ".py" else Document
    parser = ExampleParser(dict.fromkeys(LANGUAGES, lambda _: None), "cpu")
    return [example.parsed for example in kind.parse(str(path), parser)]
