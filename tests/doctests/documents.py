"""The files of the documentation, and their examples."""

from pathlib import Path

from sybil import Document

from tests.doctests.examples import LANGUAGES, Block, Docstrings, ExampleParser

PATTERNS = ("README.md", "docs/**/*.md", "src/**/*.py")
PLUG_IN = Path("docs/plug-in")  # pages about other libraries, which make field-test installs


def find_documents(root: Path, *, plug_in: bool = False) -> list[Path]:
    """Find the files of the documentation, or the pages about other libraries."""
    paths = sorted(path for pattern in PATTERNS for path in root.glob(pattern))
    return [path for path in paths if (root / PLUG_IN in path.parents) is plug_in]


def read_blocks(path: Path) -> list[Block]:
    """Read the examples of a file, without running them."""
    kind = Docstrings if path.suffix == ".py" else Document
    parser = ExampleParser(dict.fromkeys(LANGUAGES, lambda _: None), "cpu")
    return [example.parsed for example in kind.parse(str(path), parser)]
