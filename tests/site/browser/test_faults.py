"""Planted faults: each is seen by the checks that the pages pass."""

import pytest
from playwright.sync_api import Browser

from tests.site.browser.reader import Reader
from tests.site.browser.test_pages import look_at

pytestmark = pytest.mark.browser

SEEN = {
    "broken image": ('<img src="data:image/png;base64,x" alt="">', "broken image"),
    "wide block": ('<div style="width: 3000px">x</div>', "wider than the page"),
    "small code": ('<pre><code style="font-size: 9px">x</code></pre>', "small, tight or wrapped"),
    "wrapped code": ('<pre><code style="white-space: normal">x</code></pre>', "small, tight or"),
    "disguised code": ('<p style="font-family: monospace">x = 1</p>', "looks like code"),
    "cut sentences": (
        (
            '<div class="md-typeset__scrollwrap"><table data-holds="sentences"><tr><td>'
            '<p style="width: 3000px">x</p></td></tr></table></div>'
        ),
        "a table of sentences scrolls",
    ),
    "faint text": (
        '<p style="background: #fff; color: #aaa">Some words</p>',
        "axe: color-contrast",
    ),
    "button without a name": ("<button></button>", "axe: button-name"),
}
NOTED = {
    "other host": ("new Image().src = 'https://docs.example.org/x.png'", "no request to another"),
    "missing file": ("fetch('/nowhere.js')", "came status 404"),
    "console error": ("console.error('x')", "console error: x"),
    "script error": ("setTimeout(() => { throw new Error('x') })", "script error: x"),
}
PLANT = (
    "html => document.querySelector('.md-content article').insertAdjacentHTML('beforeend', html)"
)


@pytest.mark.parametrize(("html", "fault"), SEEN.values(), ids=SEEN)
def test_fault_of_a_page_is_seen(reader: Reader, html: str, fault: str) -> None:
    page = reader.open("how-to/environments/")
    assert look_at(page) == []
    page.evaluate(PLANT, html)
    page.wait_for_timeout(100)
    assert any(found.startswith(fault) for found in look_at(page))
    reader.faults.clear()


@pytest.mark.parametrize(("script", "fault"), NOTED.values(), ids=NOTED)
def test_fault_of_loading_is_noted(browser: Browser, address: str, script: str, fault: str) -> None:
    with Reader.at(browser, address, width=390, scheme="dark") as reader:
        page = reader.open("404.html")
        assert reader.faults == []
        page.evaluate(f"() => {{ {script} }}")
        page.wait_for_timeout(300)
        assert any(fault in noted for noted in reader.faults), reader.faults
