"""The site is built by Zensical too, which follows Material for MkDocs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bs4 import BeautifulSoup

from tests.site.visible_code import find_examples

FILES = ("mkdocs.yml", "CHANGELOG.md")
FOLDERS = ("docs", "overrides", "src")


def read_examples(page: Path) -> list[object]:
    return list(find_examples(BeautifulSoup(page.read_text("utf-8"), "html.parser")))


def test_zensical_builds_the_same_examples(root: Path, site: Path, tmp_path: Path) -> None:
    for name in FILES:
        shutil.copy(root / name, tmp_path)
    for name in FOLDERS:
        shutil.copytree(root / name, tmp_path / name)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)  # noqa: S603  ours
    pages = {path.relative_to(site) for path in site.rglob("index.html")}
    assert pages == {p.relative_to(tmp_path / "site") for p in tmp_path.rglob("index.html")}
    for page in pages:
        assert read_examples(tmp_path / "site" / page) == read_examples(site / page), page
