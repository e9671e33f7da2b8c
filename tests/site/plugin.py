"""The pytest plugin: ``--site`` checks that a reader of the built site sees only what passed."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import TerminalRepr
from sybil.integration.pytest import SybilItem

from tests.docs.devices import choose_devices
from tests.docs.examples import Block
from tests.docs.left_out import runs_on
from tests.site.visible_code import Shown, find_faults, trim


class Passed:
    """The examples that passed in this run, by the device they ran on."""

    def __init__(self, devices: list[str]) -> None:
        self._by_device: dict[str, set[Shown]] = {device: set() for device in devices}

    def __contains__(self, example: Shown) -> bool:
        """Tell whether an example passed on every device that was asked for and can run it."""
        passes = [
            example in passed
            for device, passed in self._by_device.items()
            if runs_on(device, example.language, example.source)
        ]
        return bool(passes) and all(passes)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Record an example that passes."""
        report = yield
        if isinstance(item, SybilItem) and call.when == "call" and report.passed:
            for device, passed in self._by_device.items():
                if f"default_device_{device}" in item.fixturenames:
                    passed.add(show(item.example.parsed))
        return report


PASSED = pytest.StashKey[Passed]()


def show(block: Block) -> Shown:
    """Write an example as pages show it."""
    output = block.output.source if block.output else ""
    return Shown(block.fence.language, trim(block.fence.source), trim(output))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of the site."""
    parser.getgroup("documentation").addoption(
        "--site",
        type=Path,
        help="a folder with the built site: every piece of code on it must have passed in this run",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Record what passes, and look at the pages when everything else has run."""
    config.stash[PASSED] = Passed(choose_devices(config.getoption("devices")))
    config.pluginmanager.register(config.stash[PASSED])
    if site := config.getoption("site"):
        if not (site / "index.html").is_file():
            raise pytest.UsageError(f"--site: expected a built site; came {site}. Run: make docs")
        config.args.append(str(site))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.File | None:
    """Collect the pages of the site."""
    site = parent.config.getoption("site")
    if (
        site
        and file_path.suffix == ".html"
        and (parent.config.rootpath / site) in file_path.parents
    ):
        return Page.from_parent(parent, path=file_path)
    return None


class Page(pytest.File):
    """A page of the built site."""

    def collect(self) -> Iterator[pytest.Item]:
        """Collect the one check of a page."""
        yield VisibleCode.from_parent(self, name="visible code")


class VisibleCode(pytest.Item):
    """Every piece of code that a reader sees on a page has passed in this run."""

    def runtest(self) -> None:
        """Look at the page."""
        passed = self.config.stash[PASSED]
        html = self.path.read_text("utf-8")
        if faults := find_faults(html, passed.__contains__, self.config.rootpath):
            raise UnprovenCodeError(faults)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None
    ) -> str | TerminalRepr:
        """Show the pieces, not where they were found missing."""
        if isinstance(excinfo.value, UnprovenCodeError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)


class UnprovenCodeError(Exception):
    """A page shows code that did not pass."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
