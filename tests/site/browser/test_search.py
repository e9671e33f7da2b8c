"""A reader who searches finds."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.site.browser.reader import Reader

pytestmark = pytest.mark.browser

RESULTS = ".md-search-result__link, [role=option]"  # of MkDocs, of Zensical
ADDRESSES = "links => links.map((link) => link.getAttribute('href') || '')"


def search(reader: Reader, query: str) -> tuple[Page, list[str]]:
    """Put a query into the field of the site, and read where the results lead."""
    site = reader.open("")
    site.keyboard.press("/")
    site.keyboard.insert_text(query)  # half a query, such as "multi-", may be none
    site.keyboard.press("End")  # the theme searches at the end of a key
    results = site.locator(RESULTS)
    expect(results.first).to_be_visible()
    return site, settled(site, results)


def settled(site: Page, results: Locator) -> list[str]:
    """Read where the results lead, once they no longer change: a site searches while one types."""
    before, now = None, results.evaluate_all(ADDRESSES)
    while now != before:
        site.wait_for_timeout(300)
        before, now = now, results.evaluate_all(ADDRESSES)
    return [str(address) for address in now]


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("inference tensors", "what-pytorch-does"),
        ("Inference tensors cannot be saved for backward", "symptoms"),
        ("evaluate_actions", "reference/policy"),
    ],
)
def test_search_finds(reader: Reader, query: str, page: str) -> None:
    site, addresses = search(reader, query)
    assert any(page in address for address in addresses), addresses
    site.locator(RESULTS).first.click()
    expect(site.get_by_role("article")).to_contain_text(query, ignore_case=True)


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("continuous actions", "how-to/continuous-actions"),
        ("gru", "explanation/episode-resets"),
        ("export", "how-to/export"),
        ("multi-agent", "start/limits"),
        ("save best model", "how-to/evaluate"),
        ("nan", "how-to/diagnostics"),
        ("hyperparameters", "how-to/choose-settings"),
        ("num_minibatches: expected a divisor of the 32 rows, got 5.", "reference/errors"),
        ("expected a saved policy, got a damaged or foreign file", "reference/errors"),
    ],
)
def test_answer_comes_first_also_where_it_is_no(reader: Reader, query: str, page: str) -> None:
    _, addresses = search(reader, query)
    assert page in addresses[0], addresses[:5]


def test_missing_page_helps(reader: Reader) -> None:
    site = reader.open("no/such/page/")
    expect(site.get_by_role("heading", level=1)).to_have_text("This page is not here")
    # Besides that it is not there, nothing is amiss with it.
    assert [fault for fault in reader.faults if "404" not in fault] == []
    reader.faults.clear()
    site.get_by_role("article").get_by_role("link", name="The contract", exact=True).click()
    expect(site.get_by_role("heading", level=1)).to_contain_text("contract")
