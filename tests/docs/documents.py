"""The files of the documentation."""

from pathlib import Path

PATTERNS = ("README.md", "docs/**/*.md", "src/**/*.py")


def find_documents(root: Path) -> list[Path]:
    """Find the files of the documentation."""
    return sorted(path for pattern in PATTERNS for path in root.glob(pattern))
