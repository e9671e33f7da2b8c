"""The site that Zensical builds works in a browser as that of MkDocs does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.site.browser.copying import copy_all
from tests.site.browser.reader import Reader
from tests.site.browser.server import serve
from tests.site.browser.test_pages import look_at
from tests.site.browser.test_search import search

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def zensical_address(zensical_site: Path) -> Iterator[str]:
    with serve(zensical_site) as address:
        yield address


@pytest.fixture
def phone(browser: Browser, zensical_address: str) -> Iterator[Reader]:
    with Reader.at(browser, zensical_address, width=390, scheme="dark") as reader:
        yield reader
    assert reader.faults == []


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("continuous actions", "how-to/continuous-actions"),
        ("gru", "explanation/episode-resets"),
        ("export", "how-to/export"),
        ("save best model", "how-to/evaluate"),
        ("Inference tensors cannot be saved for backward", "how-to/symptoms"),
    ],
)
def test_search_finds(browser: Browser, zensical_address: str, query: str, page: str) -> None:
    with Reader.at(browser, zensical_address, width=1280, scheme="light") as reader:
        _, addresses = search(reader, query)
        assert any(page in address for address in addresses[:5]), addresses[:5]
        assert reader.faults == []


@pytest.mark.parametrize("name", ["how-to/symptoms/", "reference/command-line/", "contract/"])
def test_copy_buttons_copy_the_code(phone: Reader, name: str) -> None:
    for block in copy_all(phone.open(name)):
        if block.shown.language not in ("pycon", "console"):
            assert block.text == block.shown.source.rstrip(), block


@pytest.mark.parametrize("name", ["", "how-to/symptoms/", "reference/errors/", "reference/policy/"])
def test_a_page_fits_and_can_be_read(phone: Reader, name: str) -> None:
    assert look_at(phone.open(name)) == []
