"""The pytest plugin: collects the documentation and runs it through Sybil."""

import os
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.integration.pytest import SybilFile
from sybil.sybil import SybilCollection

from tests.doctests.devices import (
    choose_devices,
    describe_devices,
    make_device_fixture,
    prepare_devices,
)
from tests.doctests.documents import find_documents
from tests.doctests.evaluators import Report, make_evaluators, reject_output
from tests.doctests.examples import Docstrings, ExampleParser
from tests.doctests.rewriting import Rewriter

default_device_cpu = make_device_fixture("cpu")
default_device_cuda = make_device_fixture("cuda")
default_device_strict = make_device_fixture("strict")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the documentation."""
    group = parser.getgroup("documentation")
    group.addoption(
        "--devices",
        default=os.environ.get("DEVICES", "auto"),
        help="auto, or a list of cpu, cuda and strict: one that is missing fails the run",
    )
    group.addoption(
        "--rewrite-outputs",
        action="store_true",
        help="write what the examples print instead of failing",
    )
    group.addoption(
        "--plug-in",
        action="store_true",
        help="run the pages and modules about other libraries, and record what passed",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Fail on a device that is missing, before anything runs."""
    devices = choose_devices(config.getoption("devices"))
    prepare_devices(devices)
    rewriter = Rewriter() if config.getoption("rewrite_outputs") else None
    documents = find_documents(config.rootpath, plug_in=config.getoption("plug_in"))
    config.pluginmanager.register(Documentation(config.rootpath, documents, devices, rewriter))


def pytest_report_header(config: pytest.Config) -> str:
    """Say on which devices the documentation runs."""
    return describe_devices(choose_devices(config.getoption("devices")))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of placement wherever mixing devices is an error."""
    if "far_device" in metafunc.fixturenames:
        devices = choose_devices(metafunc.config.getoption("devices"))
        metafunc.parametrize("far_device", ["meta", *(name for name in devices if name != "cpu")])


@pytest.fixture
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run an example in a directory of its own."""
    monkeypatch.chdir(tmp_path)


class Documentation:
    """Collects the documentation once for each device."""

    def __init__(
        self, root: Path, documents: list[Path], devices: list[str], rewriter: Rewriter | None
    ) -> None:
        self._documents = documents
        self._rewriter = rewriter
        report = rewriter.record if rewriter else reject_output
        sybils = SybilCollection(_make_sybil(root, name, report) for name in devices)
        self._collect = sybils.pytest()

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> SybilFile | None:
        """Collect a page, or the docstrings of a module."""
        return self._collect(file_path, parent) if file_path in self._documents else None

    def pytest_sessionfinish(self) -> None:
        """Write the outputs when nothing is left that needs a position in a file."""
        if self._rewriter:
            self._rewriter.apply()


def _make_sybil(root: Path, device: str, report: Report) -> Sybil:
    return Sybil(
        [ExampleParser(make_evaluators(report), device)],
        pattern="*",
        path=str(root),
        fixtures=["empty_directory", f"default_device_{device}"],
        document_types={".py": Docstrings},
        name=device,
    )
