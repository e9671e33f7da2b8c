"""What lands on the clipboard when a reader clicks the copy button of each block of a page."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from bs4 import BeautifulSoup
from playwright.sync_api import Locator, Page

from tests.site.visible_code import Shown, find_examples

BLOCKS = ".md-content div.highlight:has(> pre)"
BUTTON = "button[data-md-type=copy]"
OPEN_DETAILS = "document.querySelectorAll('details').forEach((details) => { details.open = true; })"


@dataclass(frozen=True)
class Copied:
    """What was copied from an example, and the example as its page shows it."""

    page: str
    number: int
    text: str
    shown: Shown

    def __str__(self) -> str:
        """Say where the block stands."""
        return f"{self.page} block {self.number} ({self.shown.language})"


def copy_all(page: Page) -> list[Copied]:
    """Click each copy button of a page that a reader can see, in order."""
    page.evaluate(OPEN_DETAILS)
    shown = list(find_examples(BeautifulSoup(page.content(), "html.parser")))
    buttons = [button for button in page.locator(BUTTON).all() if button.is_visible()]
    assert len(buttons) == len(shown), (
        f"{page.url}: expected a copy button for each of {len(shown)} examples, "
        f"and for nothing else; came {len(buttons)}."
    )
    return [
        Copied(urlsplit(page.url).path, number, copy(page, button), example)
        for number, (button, example) in enumerate(zip(buttons, shown, strict=True), 1)
    ]


def copy(page: Page, button: Locator) -> str:
    """Click one button, and read the clipboard."""
    page.evaluate("navigator.clipboard.writeText('')")
    button.click()
    return str(page.evaluate("navigator.clipboard.readText()"))
