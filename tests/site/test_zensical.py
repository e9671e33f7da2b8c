"""Zensical, which follows Material for MkDocs, builds the site that MkDocs builds."""

import json
import re
from importlib.metadata import version
from pathlib import Path
from zlib import decompress

import pytest
from bs4 import BeautifulSoup

from tests.site.visible_code import find_examples

# What Zensical cannot do yet, in the version that was tried. Nothing else may differ.
TRIED = "0.0.73"
LACKS = {
    "assets/_mkdocstrings.css": "the style sheet of mkdocstrings",
    "sitemap.xml.gz": "the packed sitemap; sitemap.xml is there",
    "search/search_index.json": "another search of its own reads search.json",
}
OF_THE_THEME = re.compile(r"assets/(javascripts|stylesheets)/.*")
OF_ITS_OWN = {"search.json"}

Facts = dict[str, object]


def list_files(site: Path) -> set[str]:
    """Name the files of a site, apart from those of the theme."""
    names = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    return {name for name in names if not OF_THE_THEME.fullmatch(name)}


def read_page(path: Path) -> Facts:
    """Read what a page says, shows and links to."""
    page = BeautifulSoup(path.read_text("utf-8"), "html.parser")
    article = page.select_one("article")
    assert article is not None
    return {
        "title": page.title and page.title.get_text(),
        "text": " ".join(article.get_text(" ").split()),
        "anchors": [str(link["href"]) for link in article.select("a.headerlink")],
        "examples": list(find_examples(page)),
        "menu": [link.get_text(" ", strip=True) for link in page.select("a.md-nav__link")],
        "descriptions": [str(tag) for tag in page.select("meta[property], meta[name=description]")],
        "scripts": [Path(str(tag["src"])).name for tag in page.select("script[src*='assets/']")][
            1:
        ],
        "edit links": [str(tag["href"]) for tag in page.select("a[rel=edit]")],
    }


def read_inventory(site: Path) -> set[str]:
    _, _, body = (site / "objects.inv").read_bytes().partition(b"zlib.\n")
    return set(decompress(body).decode().splitlines())


def read_searched(path: Path, key: str) -> set[str]:
    """Read which places a search leads to."""
    entries = json.loads(path.read_text("utf-8"))[key]
    return {entry["location"] for entry in entries}


def test_the_version_that_was_tried_is_installed() -> None:
    assert version("zensical") == TRIED


def test_zensical_lacks_only_what_is_listed(site: Path, zensical_site: Path) -> None:
    assert list_files(site) - list_files(zensical_site) == set(LACKS)
    assert list_files(zensical_site) - list_files(site) == OF_ITS_OWN


def test_every_page_says_and_shows_the_same(site: Path, zensical_site: Path) -> None:
    for path in site.rglob("index.html"):
        name = path.relative_to(site)
        assert read_page(zensical_site / name) == read_page(path), name


@pytest.mark.parametrize("pattern", ["index.md", "llms.txt"])
def test_programs_read_the_same(site: Path, zensical_site: Path, pattern: str) -> None:
    paths = list(site.rglob(pattern))
    assert paths
    for path in paths:
        name = path.relative_to(site)
        assert (zensical_site / name).read_text("utf-8") == path.read_text("utf-8"), name


def test_other_sites_link_to_the_same_objects(site: Path, zensical_site: Path) -> None:
    assert read_inventory(zensical_site) == read_inventory(site)


def test_the_search_leads_to_the_same_places(site: Path, zensical_site: Path) -> None:
    expected = read_searched(site / "search/search_index.json", "docs")
    assert read_searched(zensical_site / "search.json", "items") == expected
