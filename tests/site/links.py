"""The links of a built site: each inner one leads somewhere, each outer one is well formed."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from bs4 import BeautifulSoup

HOST = re.compile(r"([a-z0-9-]+\.)+[a-z]{2,}")
BASE = "https://site.invalid/"  # stands for wherever the site is published


def find_links(html: str) -> list[str]:
    """Find what a page links to, and what it loads."""
    page = BeautifulSoup(html, "html.parser")
    found = [str(tag["href"]) for tag in page.select("a[href], link[href]")]
    found += [str(tag["src"]) for tag in page.select("[src]")]
    return [link for link in found if not link.startswith("data:")]


def find_outer_links(site: Path) -> list[str]:
    """List the links of a site that lead out of it."""
    links = {link for path in site.rglob("*.html") for link in find_links(path.read_text("utf-8"))}
    return sorted(link for link in links if urlsplit(link).scheme)


def find_form_faults(link: str) -> str:
    """Say what is wrong with the form of an outer link; nobody is asked whether it is there."""
    parts = urlsplit(link)
    if parts.scheme != "https":
        return f"expected https; came {link}"
    if not HOST.fullmatch(parts.netloc):
        return f"expected the name of a host; came {link}"
    if re.search(r"[\s<>\"\\^`{|}]|[.,;:!'(]$", link):
        return f"expected an address; came {link}"
    return ""


def find_dead_links(site: Path, pages: Iterable[Path]) -> Iterator[str]:
    """Find the links of some pages of a site that lead to no file, or to no place in it."""
    ids: dict[Path, set[str]] = {}
    for path in pages:
        here = urljoin(BASE, path.relative_to(site).as_posix())
        for link in find_links(path.read_text("utf-8")):
            there = urljoin(here, link)
            if there.startswith(BASE) and not _leads_somewhere(site, there, ids):
                yield f"{path.relative_to(site)}: {link} leads nowhere"


def _leads_somewhere(site: Path, address: str, ids: dict[Path, set[str]]) -> bool:
    parts = urlsplit(address)
    target = site / unquote(parts.path).lstrip("/")
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return False
    fragment = unquote(parts.fragment)
    if not fragment or target.suffix != ".html":
        return True
    if target not in ids:
        page = BeautifulSoup(target.read_text("utf-8"), "html.parser")
        ids[target] = {str(tag["id"]) for tag in page.select("[id]")}
    return fragment in ids[target]
