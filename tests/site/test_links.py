"""Links lead somewhere; those that leave the site are checked for their form alone."""

from pathlib import Path

import pytest

from tests.site.links import find_dead_links, find_form_faults, find_outer_links

DEAD = {
    "page": '<a href="nowhere/">x</a>',
    "place": '<a href="#nowhere">x</a>',
    "place of another page": '<a href="../contract/#nowhere">x</a>',
    "image": '<img src="nowhere.png">',
}
MALFORMED = (
    "http://pytorch.org",
    "https://pytorch",
    "https://127.0.0.1/",
    "https://pytorch.org/docs.",
    "https://pytorch.org/a b",
    "https:///docs",
)


def test_inner_links_lead_somewhere(site: Path) -> None:
    assert list(find_dead_links(site, sorted(site.rglob("*.html")))) == []


def test_outer_links_are_well_formed(site: Path) -> None:
    links = find_outer_links(site)
    assert links
    assert [fault for link in links if (fault := find_form_faults(link))] == []


@pytest.mark.parametrize("planted", DEAD.values(), ids=DEAD)
def test_dead_link_is_found(copy_of_site: Path, planted: str) -> None:
    page = copy_of_site / "contract/index.html"
    page.write_text(page.read_text("utf-8").replace("</body>", f"{planted}</body>"), "utf-8")
    assert len(list(find_dead_links(copy_of_site, [page]))) == 1


@pytest.mark.parametrize("link", MALFORMED)
def test_malformed_link_is_found(link: str) -> None:
    assert find_form_faults(link)
