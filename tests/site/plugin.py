"""The pytest plugin that checks, with ``--site``, that a reader sees only code that passed."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from _pytest._code.code import TerminalRepr
from sybil.integration.pytest import SybilItem

from tests.doctests.devices import choose_devices
from tests.doctests.examples import Block
from tests.doctests.left_out import runs_on
from tests.site.visible_code import Shown, find_faults, trim

CACHE = "documentation/passed"
PROPERTY = "example"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send an example that passes with its report, which pytest-xdist brings to one process."""
    report = yield
    if isinstance(item, SybilItem) and call.when == "call" and report.passed:
        for device in choose_devices(item.config.getoption("devices")):
            if f"default_device_{device}" in item.fixturenames:
                report.user_properties.append((PROPERTY, [device, *show(item.example.parsed)]))
    return report


class PassedExamples:
    """Keeps which examples passed, for the run that looks at the built site."""

    def __init__(self, cache: pytest.Cache) -> None:
        self._cache = cache
        self._passed: list[object] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the examples of a report."""
        self._passed += [value for name, value in report.user_properties if name == PROPERTY]

    def pytest_sessionfinish(self) -> None:
        """Write them, if there were any."""
        if self._passed:
            self._cache.set(CACHE, self._passed)


def show(block: Block) -> Shown:
    """Write an example as pages show it."""
    return Shown(block.language, trim(block.source), trim(block.output or ""))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of the site."""
    parser.getgroup("documentation").addoption(
        "--site",
        type=Path,
        help="a folder with the built site: all code on it must have passed in the run before",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Look at the pages of a site, or keep what passes."""
    site = config.getoption("site")
    if site is None:
        if config.cache is not None and not hasattr(config, "workerinput"):
            config.pluginmanager.register(PassedExamples(config.cache))
        return
    if not (site / "index.html").is_file():
        raise pytest.UsageError(f"--site: expected a built site, got {site}. Run: make docs")
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args[:] = [str(site)]


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


class Passed:
    """The examples that passed, by the device they ran on."""

    def __init__(self, examples: Iterable[Sequence[str]], devices: Iterable[str]) -> None:
        self._by_device = {
            device: {Shown(*shown) for ran_on, *shown in examples if ran_on == device}
            for device in devices
        }

    def __contains__(self, example: Shown) -> bool:
        """Tell whether an example passed on every device that was asked for and can run it."""
        passes = [
            example in passed
            for device, passed in self._by_device.items()
            if runs_on(device, example.language, example.source)
        ]
        return bool(passes) and all(passes)


class Page(pytest.File):
    """A page of the built site."""

    def collect(self) -> Iterator[pytest.Item]:
        """Collect the one check of a page."""
        yield VisibleCode.from_parent(self, name="visible code")


class VisibleCode(pytest.Item):
    """Every piece of code that a reader sees on a page has passed."""

    def runtest(self) -> None:
        """Look at the page."""
        assert self.config.cache is not None
        devices = choose_devices(self.config.getoption("devices"))
        passed = Passed(self.config.cache.get(CACHE, []), devices)
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
