"""What each copy button copies runs by itself, and prints what the page says it prints."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.site.browser.copying import Copied, copy_all
from tests.site.browser.reader import Reader
from tests.site.browser.running import run_copied

pytestmark = pytest.mark.browser

PROCESSES = 2
PROMPT = re.compile(r"^(>>>|\$) ", re.MULTILINE)


@pytest.fixture(scope="module")
def copied(browser: Browser, address: str, pages: list[str]) -> list[Copied]:
    with Reader.at(browser, address, width=1280, scheme="light") as reader:
        copied = [block for name in pages for block in copy_all(reader.open(name))]
        assert reader.faults == []
    return copied


def test_what_is_copied_is_the_code(copied: list[Copied]) -> None:
    for block in copied:
        assert not PROMPT.search(block.text), block
        if block.shown.language not in ("pycon", "console"):
            assert block.text == block.shown.source.rstrip(), block


def test_what_is_copied_runs(copied: list[Copied], tmp_path: Path, summary: list[str]) -> None:
    distinct = list({(block.shown, block.text): block for block in copied}.values())
    folders = [tmp_path / str(number) for number in range(len(distinct))]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(PROCESSES) as pool:
        faults = pool.map(run_copied, distinct, folders)
        failed = [
            f"{block}: {fault}" for block, fault in zip(distinct, faults, strict=True) if fault
        ]
    assert not failed, "\n\n".join(failed)
    summary.append(
        f"{len(copied)} copy buttons clicked; {len(distinct)} distinct blocks ran, each in a "
        "fresh process with warnings as errors"
    )
