"""Fixtures that the tests of the device share."""

from pathlib import Path

import pytest

from tests.doctests.devices import choose_devices


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these tests out unless the device was asked for."""
    return None if "strict" in choose_devices(config.getoption("devices")) else True
