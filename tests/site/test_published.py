"""A site that knows where it is published says so; one that does not names no place."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from tests.site.conftest import build_site

PLACES = {
    "SITE_URL": "https://docs.example.org/",
    "REPO_URL": "https://code.example.org/x/",
    "EDIT_URI": "edit/main/docs/",
}
META = {
    "og:title": "Home",
    "og:url": "https://docs.example.org/page/",
    "og:image": "https://docs.example.org/assets/social.png",
}


def read_page(folder: Path, root: Path) -> BeautifulSoup:
    site = build_site(folder, root, {"docs/page.md": "# Home\n\nText\n"})
    assert (site / "assets/social.png").is_file()
    return BeautifulSoup((site / "page/index.html").read_text("utf-8"), "html.parser")


def test_published_site_has_edit_links_and_addresses(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in PLACES.items():
        monkeypatch.setenv(name, value)
    page = read_page(tmp_path, root)
    assert page.select('a[rel=edit][href="https://code.example.org/x/edit/main/docs/page.md"]')
    for name, value in META.items():
        assert page.select(f'meta[property="{name}"][content="{value}"]'), name


def test_unpublished_site_names_no_place(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)
    page = read_page(tmp_path, root)
    assert not page.select("a[rel=edit], link[rel=canonical]")
    assert not page.select('meta[property="og:url"], meta[property="og:image"]')
