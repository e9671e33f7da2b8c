"""What each copy button copies runs by itself, and prints what the page says it prints."""

import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from playwright.sync_api import Browser

from tests.site.browser.copying import Copied, copy_all
from tests.site.browser.reader import Reader
from tests.site.browser.running import run_copied

pytestmark = pytest.mark.browser

PROCESSES = 2
PLUG_IN = "/plug-in/"  # pages about libraries that only make field-test installs, and runs
PROMPT = re.compile(r"^(>>>|\$) ", re.MULTILINE)


@pytest.fixture(scope="session")
def copied(browser: Browser, address: str, pages: list[str]) -> list[Copied]:
    with Reader.at(browser, address, width=1280, scheme="light") as reader:
        copied = [block for name in pages for block in copy_all(reader.open(name))]
        assert reader.faults == []
    return copied


@pytest.fixture(scope="session")
def runs(
    copied: list[Copied], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Copied, Future[str]]]:
    """Run what is copied, each block once, while the browser goes on to look at the pages."""
    here = [block for block in copied if not block.page.startswith(PLUG_IN)]
    distinct = {(block.shown, block.text): block for block in here}.values()
    with ThreadPoolExecutor(PROCESSES) as pool:
        yield {
            block: pool.submit(run_copied, block, tmp_path_factory.mktemp("copied"))
            for block in distinct
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.usefixtures("runs")
def test_what_is_copied_is_the_code(copied: list[Copied]) -> None:
    for block in copied:
        assert not PROMPT.search(block.text), block
        if block.shown.language not in ("pycon", "console"):
            assert block.text == block.shown.source.rstrip(), block


@pytest.mark.last
def test_what_is_copied_runs(
    copied: list[Copied], runs: dict[Copied, Future[str]], summary: list[str]
) -> None:
    faults = {str(block): fault for block, run in runs.items() if (fault := run.result())}
    assert not faults, "\n\n".join(f"{block}: {fault}" for block, fault in faults.items())
    summary.append(
        f"{len(copied)} copy buttons clicked; {len(runs)} distinct blocks ran, each in a fresh "
        "process with warnings as errors"
    )
