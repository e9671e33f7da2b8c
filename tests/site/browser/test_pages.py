"""Each page at a desk and on a phone, by day and by night: it loads, fits, and can be read."""

from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.site.browser.reader import Reader
from tests.site.links import find_form_faults, find_outer_links

pytestmark = pytest.mark.browser

LOOKS: list[tuple[int, Literal["light", "dark"]]] = [
    (width, scheme) for width in (1280, 390) for scheme in ("light", "dark")
]
SCHEMES = {"light": "default", "dark": "slate"}
SCREENS = 3  # how many of its height a screenshot goes down a page
PORTRAYED = (
    "",
    "tutorial/",
    "contract/",
    "explanation/what-the-bug-looks-like/",
    "reference/policy/",
    "reference/crossings/",
)
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
    "resultTypes": ["violations"],  # to write down all that is right takes longer than to look
}

# One listing of source code looks like the next, and a page may have fifty.
OPEN_DETAILS = """() => {
    document.querySelectorAll("details").forEach((details) => { details.open = true; });
    const listings = [...document.querySelectorAll("details.mkdocstrings-source")];
    listings.slice(1).forEach((listing) => listing.remove());
}"""
FIND_BROKEN_IMAGES = """() => [...document.images]
    .filter((image) => !image.complete || image.naturalWidth === 0)
    .map((image) => `broken image: ${image.src}`)"""
# A block that scrolls by itself may be wider than the page; what it holds is reached by scrolling.
FIND_OVERFLOW = """() => {
    const width = document.documentElement.clientWidth;
    const scrolls = (element) => ["auto", "scroll"].includes(getComputedStyle(element).overflowX);
    const isHeld = (element) =>
        element.parentElement && (scrolls(element.parentElement) || isHeld(element.parentElement));
    const tooWide = [...document.querySelectorAll(".md-content *, .md-header__inner > *")]
        .filter((element) => element.getBoundingClientRect().right > width + 1)
        .filter((element) => element.checkVisibility() && !isHeld(element))
        .map((element) => `wider than the page: ${element.outerHTML.slice(0, 120)}`);
    const page = document.documentElement.scrollWidth;
    return page > width ? [`the page scrolls sideways, to ${page} px`, ...tooWide] : tooWide;
}"""
FIND_UNREADABLE_CODE = """() => [...document.querySelectorAll(".md-content pre > code")]
    .map((code) => [code, getComputedStyle(code)])
    .filter(([, style]) => parseFloat(style.fontSize) < 12
        || parseFloat(style.lineHeight) < 1.2 * parseFloat(style.fontSize)
        || !style.whiteSpace.startsWith("pre"))
    .map(([code]) => `small, tight or wrapped code: ${code.textContent.slice(0, 80)}`)"""
FIND_CUT_SENTENCES = """() => [...document.querySelectorAll("[data-holds=sentences]")]
    .flatMap((table) => [table, table.closest(".md-typeset__scrollwrap")])
    .filter((block) => block.scrollWidth > block.clientWidth + 1)
    .map((block) => `a table of sentences scrolls sideways: ${block.textContent.slice(0, 80)}`)"""
# What looks like code must be marked as code, which is what the completeness of examples reads.
FIND_DISGUISED_CODE = """() => [...document.querySelectorAll(".md-content *")]
    .filter((element) => !element.closest("pre, code, kbd, svg, button, script, style"))
    .filter((element) => [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .filter((element) => /mono|courier|consolas/i.test(getComputedStyle(element).fontFamily)
        || getComputedStyle(element).whiteSpace.startsWith("pre"))
    .map((element) => `looks like code, is none: ${element.outerHTML.slice(0, 120)}`)"""


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_every_page_loads_fits_and_can_be_read(
    browser: Browser,
    address: str,
    pages: list[str],
    summary: list[str],
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    with Reader.at(browser, address, width, scheme) as reader:
        for name in pages:
            page = reader.open(name)
            assert page.evaluate("document.body.dataset.mdColorScheme") == SCHEMES[scheme]
            page.evaluate(OPEN_DETAILS)
            reader.faults += [f"{page.url}: {fault}" for fault in look_at(page)]
        assert reader.faults == []
    summary.append(
        f"{width} px, {scheme}: {len(pages)} pages, {reader.requests} requests, 0 to other hosts"
    )


def look_at(page: Page) -> list[str]:
    """Find what is broken on a page, does not fit, or cannot be read."""
    finders = (
        FIND_BROKEN_IMAGES,
        FIND_OVERFLOW,
        FIND_UNREADABLE_CODE,
        FIND_CUT_SENTENCES,
        FIND_DISGUISED_CODE,
    )
    return [fault for finder in finders for fault in page.evaluate(finder)] + find_barriers(page)


def find_barriers(page: Page) -> list[str]:
    """Find what axe-core calls serious or critical, contrast among it."""
    violations: list[dict[str, Any]] = Axe().run(page, options=RULES).response["violations"]
    return [
        f"axe: {violation['id']}: {node['failureSummary']} {node['html'][:160]}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]


def test_outer_links_are_listed(site: Path, summary: list[str]) -> None:
    links = find_outer_links(site)
    assert [fault for link in links if (fault := find_form_faults(link))] == []
    summary += [f"{len(links)} links lead out, checked for their form alone:", *links]


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_six_pages_are_portrayed(
    browser: Browser,
    address: str,
    root: Path,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    """Write screenshots for a person to look at."""
    with Reader.at(browser, address, width, scheme) as reader:
        for name in PORTRAYED:
            page = reader.open(name)
            height = min(
                page.evaluate("document.documentElement.scrollHeight"),
                SCREENS * page.evaluate("innerHeight"),
            )
            page.screenshot(
                path=root / "site-test" / f"{name.strip('/').replace('/', '-') or 'home'}"
                f"-{width}-{scheme}.png",
                clip={"x": 0, "y": 0, "width": width, "height": height},
                full_page=True,
            )
        assert reader.faults == []
