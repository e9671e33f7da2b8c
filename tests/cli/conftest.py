"""What the tests of the command share."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tamiyo_rl.training.runs.folder import RunFolder
from tests.cli.fork_server import ForkServer
from tests.cli.tiny import TINY


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """Start `tamiyo-rl` in real processes, quickly."""
    with ForkServer() as started:
        yield started


@pytest.fixture(scope="session")
def trained(server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a tiny run, once."""
    folder = tmp_path_factory.mktemp("trained")
    finished = server.run("train", "a", *TINY, folder=folder)
    assert finished.status == 0, finished.output
    return folder / "a"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> RunFolder:
    """Give a copy of a tiny run."""
    shutil.copytree(trained, tmp_path / "a")
    return RunFolder(tmp_path / "a")
