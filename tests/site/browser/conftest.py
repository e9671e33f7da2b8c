"""The browser, the server, and the pages."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.site.browser.reader import PATIENCE_MS, Reader
from tests.site.browser.server import serve

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = (
    "make site-test: expected Chromium; came none. Install it (Debian: apt-get install chromium), "
    "or name one with CHROMIUM=/path/to/it."
)
# Nothing of its own on the network, and no sandbox, which root cannot have.
FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
SUMMARY = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def site(pytestconfig: pytest.Config) -> Path:
    folder = pytestconfig.getoption("site")
    if folder is None:
        raise pytest.UsageError("expected --site FOLDER; came none. Run: make site-test")
    return Path(folder).absolute()


@pytest.fixture(scope="session")
def pages(site: Path) -> list[str]:
    """Name each page by its address below the site."""
    names = (path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    return sorted(name.removesuffix("index.html") for name in names)


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    with serve(site) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.exit(INSTALL, returncode=pytest.ExitCode.USAGE_ERROR)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def reader(browser: Browser, address: str) -> Iterator[Reader]:
    """Open the site at a desk, by day; it must ask no other host, and report no error."""
    with Reader.at(browser, address, width=1280, scheme="light") as reader:
        yield reader
    assert reader.faults == []


@pytest.fixture(scope="session")
def summary(pytestconfig: pytest.Config) -> list[str]:
    """Collect what the run says of itself at its end."""
    return pytestconfig.stash.setdefault(SUMMARY, [])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put last what waits for the processes that run meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how much was looked at."""
    for line in config.stash.get(SUMMARY, []):
        terminalreporter.write_line(line)
