"""A session is copied as it is typed, and what is copied is used as its reader would."""

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.site.browser.copying import Copied, copy_all
from tests.site.browser.reader import Reader
from tests.site.browser.running import run_copied
from tests.site.browser.server import serve
from tests.site.conftest import build_site

pytestmark = pytest.mark.browser

PYCON = ">>> def f():\n...     return 1\n...\n>>> print(f())\n1\n"
CONSOLE = "$ echo one > a; echo \\\ntwo\ntwo\n$ python -c 'print(3)'\n3\n"
PAGE = (
    f"# Home\n\n```pycon\n{PYCON}```\n\n```console\n{CONSOLE}```\n\n"
    "```python\nprint(1)\n```\n\n```text\n1\n```\n\n"
    '```toml\na = 1\n```\n\n```yaml\na: 1\n```\n\n```json\n{"a": 1}\n```\n'
)
TYPED = {
    "pycon": "def f():\n    return 1\n\nprint(f())",
    "console": "echo one > a; echo \\\ntwo\npython -c 'print(3)'",
    "python": "print(1)",
    "toml": "a = 1",
    "yaml": "a: 1",
    "json": '{"a": 1}',
}
BROKEN = {
    "pycon": "1 / 0",
    "console": "echo three",
    "python": "print(2)",
    "toml": "a =",
    "yaml": "a: [",
    "json": "{",
}


@pytest.fixture(scope="module")
def copied(
    browser: Browser, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Copied]:
    site = build_site(tmp_path_factory.mktemp("sessions"), root, {"docs/index.md": PAGE})
    with serve(site) as address, Reader.at(browser, address, 390, "dark") as reader:
        return {block.shown.language: block for block in copy_all(reader.open(""))}


def test_each_block_is_copied_as_it_is_typed(copied: dict[str, Copied]) -> None:
    assert {language: block.text for language, block in copied.items()} == TYPED


@pytest.mark.parametrize("language", TYPED)
def test_what_is_copied_is_used(copied: dict[str, Copied], tmp_path: Path, language: str) -> None:
    assert run_copied(copied[language], tmp_path) == ""


@pytest.mark.parametrize("language", BROKEN)
def test_what_does_not_work_is_found(
    copied: dict[str, Copied], tmp_path: Path, language: str
) -> None:
    assert run_copied(replace(copied[language], text=BROKEN[language]), tmp_path)


def test_warning_is_an_error(copied: dict[str, Copied], tmp_path: Path) -> None:
    block = replace(copied["python"], text="import warnings\nwarnings.warn('w')\nprint(1)")
    assert "UserWarning: w" in run_copied(block, tmp_path)
