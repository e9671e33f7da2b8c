"""The menu of the site and the pages say the same."""

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parent.parent.parent
MENU = re.findall(
    r'^ +- "?(.+?)"?: (\S+\.md)$', (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE
)
OWN_TITLES = {"index.md"}  # the home page has the name of the package


@pytest.mark.parametrize(("title", "page"), [entry for entry in MENU if entry[1] not in OWN_TITLES])
def test_a_page_has_the_title_of_its_entry(site: Path, title: str, page: str) -> None:
    html = (site / page.removesuffix(".md") / "index.html").read_text("utf-8")
    heading = BeautifulSoup(html, "html.parser").select_one("h1")
    assert heading is not None
    assert heading.get_text().removesuffix("¶").strip() == title
