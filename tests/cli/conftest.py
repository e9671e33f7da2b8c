"""What the tests of the command share."""

from collections.abc import Iterator

import pytest

from tests.cli.fork_server import ForkServer


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """Start `tamiyo-rl` in real processes, quickly."""
    with ForkServer() as started:
        yield started
