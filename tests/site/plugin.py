"""The pytest plugin that checks, with ``--site``, that a reader sees only code that passed."""

import hashlib
import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from _pytest._code.code import TerminalRepr
from sybil.integration.pytest import SybilItem

from tests.doctests.devices import choose_devices
from tests.doctests.examples import Block
from tests.doctests.left_out import runs_on
from tests.site.visible_code import Shown, find_faults, trim

CACHE = "documentation/passed"
RECORD = Path("docs/reference/records/field/plug-in.json")  # of the pages about other libraries
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

    def __init__(self, cache: pytest.Cache, record: Path | None) -> None:
        self._cache = cache
        self._record = record
        self._passed: list[list[str]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the examples of a report."""
        self._passed += [cast("list[str]", v) for k, v in report.user_properties if k == PROPERTY]

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write them, if there were any."""
        if self._passed and self._record is None:
            self._cache.set(CACHE, self._passed)
        elif self._record is not None and exitstatus == pytest.ExitCode.OK:
            hashes = sorted(hash_of(Shown(*shown)) for _, *shown in self._passed)
            self._record.write_text(json.dumps(hashes, indent=1) + "\n", "utf-8")


def show(block: Block) -> Shown:
    """Write an example as pages show it."""
    return Shown(block.language, trim(block.source), trim(block.output or ""))


def hash_of(example: Shown) -> str:
    """Return what stands for an example in a record."""
    return hashlib.sha256("\0".join(example).encode()).hexdigest()


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
            record = config.rootpath / RECORD if config.getoption("plug_in") else None
            config.pluginmanager.register(PassedExamples(config.cache, record))
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

    def __init__(
        self,
        examples: Iterable[Sequence[str]],
        devices: Iterable[str],
        recorded: Iterable[str] = (),
    ) -> None:
        self._recorded = frozenset(recorded)
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
        return (bool(passes) and all(passes)) or hash_of(example) in self._recorded


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
        record = self.config.rootpath / RECORD
        recorded = json.loads(record.read_text("utf-8")) if record.exists() else []
        passed = Passed(self.config.cache.get(CACHE, []), devices, recorded)
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
