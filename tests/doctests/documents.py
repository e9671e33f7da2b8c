"""The files of the documentation, and their examples."""

from pathlib import Path

from sybil import Document

from tests.doctests.examples import LANGUAGES, Block, Docstrings, ExampleParser

PATTERNS = ("README.md", "docs/**/*.md", "src/**/*.py")
# Pages and modules about other libraries, which make field-test installs.
PLUG_IN = Path("docs/plug-in"), Path("src/tamiyo_rl/integrations")


def find_documents(root: Path, *, plug_in: bool = False) -> list[Path]:
    """Find the files of the documentation, or those about other libraries."""
    paths = sorted(path for pattern in PATTERNS for path in root.glob(pattern))
    folders = {root / folder for folder in PLUG_IN}
    return [path for path in paths if bool(folders.intersection(path.parents)) is plug_in]


def read_blocks(path: Path) -> list[Block]:
    """Read the examples of a file, without running them."""
    kind = Docstrings if path.suffix == ".py" else Document
    parser = ExampleParser(dict.fromkeys(LANGUAGES, lambda _: None), "cpu")
    return [example.parsed for example in kind.parse(str(path), parser)]
