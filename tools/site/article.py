"""A page of the built site: its address, its title, and the article that its reader sees."""

import re
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString

# Parts that only serve the screen: marks beside headings, buttons, line numbers.
FURNITURE = ("a.headerlink", ".md-content__button", "td.linenos", "style", "script")


class Article:
    """The article of a page, without what serves only the screen.

    Args:
        site: The folder of the built site.
        address: Address of the page below that folder.
        section: The group of the menu that holds the page.
    """

    def __init__(self, site: Path, address: str, section: str) -> None:
        self.address = address
        self.section = section
        self.path = site / address / "index.html"
        page = BeautifulSoup(self.path.read_text("utf-8"), "html.parser")
        article = page.select_one("article")
        if article is None:
            raise ValueError(f"{self.path}: expected an article, got none. Build the site again.")
        self.body: Tag = article
        for element in article.select(", ".join(FURNITURE)):
            element.decompose()
        for item in article.select("li.doc-section-item"):
            _set_in_one_line(item)

    @property
    def title(self) -> str:
        """Its first heading."""
        return _read_first(self.body, "h1")

    @property
    def description(self) -> str:
        """Its first paragraph, or the first item of a page of lists."""
        return _read_first(self.body, "p", "li")


def find_articles(site: Path) -> list[Article]:
    """Find the pages of a site, in the order of its menu."""
    home = BeautifulSoup((site / "index.html").read_text("utf-8"), "html.parser")
    sections: dict[str, str] = {}
    for link in home.select(".md-nav--primary a.md-nav__link[href]"):
        address = str(link["href"]).removeprefix("./").removeprefix(".")
        if not address.startswith("#"):
            sections.setdefault(address, _find_section(link))
    return [Article(site, address, section) for address, section in sections.items()]


def _find_section(link: Tag) -> str:
    """Find the outermost group of the menu around a link."""
    groups = link.find_parents("li", class_="md-nav__item--nested")
    return _read_first(groups[-1], "label") if groups else ""


def _set_in_one_line(item: Tag) -> None:
    """Put a parameter and its description on one line, as a screen shows them."""
    for block in item.select(".doc-md-description, .doc-md-description > p:only-child"):
        block.unwrap()
    for text in item.find_all(string=re.compile(r"\n")):
        if isinstance(text, NavigableString) and not text.find_parent("pre"):
            text.replace_with(re.sub(r"\s+", " ", text))


def _read_first(body: Tag, *names: str) -> str:
    element = body.find(names)
    return " ".join(element.get_text().split()) if element else ""
