"""The page of the site, from the record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORD = Path("benchmarks/ablation/record.json")
PAGE = Path("docs/explanation/what-makes-it-learn.md")


def write_page(record: Mapping[str, Any], path: Path = PAGE) -> None:
    """Write the page."""
