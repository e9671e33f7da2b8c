"""A reader of the site: a browser of one width and scheme, and all that goes wrong in it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Literal, Self
from urllib.parse import urljoin

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

HEIGHTS = {1280: 900, 390: 844}
PATIENCE_MS = 120_000  # what is copied runs meanwhile: no wait is short


class Reader:
    """Opens pages one after another, and notes each fault with the page where it came up."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        context.route(re.compile(r"^https?://(?!127\.0\.0\.1:)"), lambda route: route.abort())
        self.page: Page = context.new_page()
        self.faults: list[str] = []
        self.requests = 0
        self._address = address
        self.page.on("request", self._note_request)
        self.page.on("response", self._note_response)
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self._note(f"script error: {error}"))

    @classmethod
    @contextmanager
    def at(
        cls, browser: Browser, address: str, width: int, scheme: Literal["light", "dark"]
    ) -> Iterator[Self]:
        """Open a browser that is this wide and prefers this scheme."""
        context = browser.new_context(
            viewport={"width": width, "height": HEIGHTS[width]},
            color_scheme=scheme,
            reduced_motion="reduce",
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(PATIENCE_MS)
        yield cls(context, address)
        context.close()

    def open(self, name: str) -> Page:
        """Open a page, and wait for all that it loads."""
        self.page.goto(urljoin(self._address, name), wait_until="networkidle")
        return self.page

    def _note(self, fault: str) -> None:
        self.faults.append(f"{self.page.url}: {fault}")

    def _note_request(self, request: Request) -> None:
        self.requests += 1
        if not request.url.startswith((self._address, "data:", "blob:")):
            self._note(f"expected no request to another host; came {request.url}")

    def _note_response(self, response: Response) -> None:
        if response.status >= HTTPStatus.BAD_REQUEST:
            self._note(f"expected a file; came status {response.status} of {response.url}")

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._note(f"console {message.type}: {message.text}")
