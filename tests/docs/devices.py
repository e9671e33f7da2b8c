"""The devices on which the examples run."""

from collections.abc import Callable, Iterator

import pytest
import torch

IS_AVAILABLE: dict[str, Callable[[], bool]] = {
    "cpu": lambda: True,
    "cuda": torch.cuda.is_available,
}


def choose_devices(requested: str) -> list[str]:
    """Read a list such as ``cpu,cuda``; ``auto`` is every device that is there."""
    if requested == "auto":
        return [name for name, is_available in IS_AVAILABLE.items() if is_available()]
    names = [name.strip() for name in requested.split(",")]
    for name in names:
        _require_device(name)
    return list(dict.fromkeys(names))


def _require_device(name: str) -> None:
    if name not in IS_AVAILABLE:
        known = ", ".join(IS_AVAILABLE)
        raise pytest.UsageError(f"--devices: expected auto or a list of {known}; came {name!r}.")
    if not IS_AVAILABLE[name]():
        raise pytest.UsageError(
            f"--devices: {name} was asked for, and PyTorch finds none here. "
            "Run where there is one, or ask for --devices=auto."
        )


def make_device_fixture(name: str) -> Callable[[], Iterator[None]]:
    """Make the fixture that holds a device as the default while an example runs."""

    @pytest.fixture(name=f"default_device_{name}")
    def hold_device() -> Iterator[None]:
        with torch.device(name):
            yield

    return hold_device
