"""Which files are documentation, and how many examples each has."""

from pathlib import Path

from tests.docs.examples import read_blocks

PATTERNS = ("README.md", "docs/**/*.md", "src/**/*.py")


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
