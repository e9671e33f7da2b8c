"""The devices on which the examples run."""

import subprocess
from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from tests import strict_device

IS_AVAILABLE: dict[str, Callable[[], bool]] = {
    "cpu": lambda: True,
    "cuda": torch.cuda.is_available,
    "strict": strict_device.has_compiler,
}
NEEDS = {
    "cuda": "PyTorch finds none here. Run where there is one",
    "strict": "there is no C++ compiler to build it. Install one, or name one in CXX",
}
# It takes as long as the CPU again, and CI runs it.
NOT_IN_AUTO = "strict"


def choose_devices(requested: str) -> list[str]:
    """Read a list such as ``cpu,cuda``; ``auto`` is every real device that is there."""
    if requested == "auto":
        names = [name for name in IS_AVAILABLE if name != NOT_IN_AUTO]
        return [name for name in names if IS_AVAILABLE[name]()]
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
            f"--devices: {name} was asked for, and {NEEDS[name]}, or ask for --devices=auto."
        )


def prepare_devices(names: Sequence[str]) -> None:
    """Build what must be built before anything runs."""
    if "strict" in names:
        try:
            strict_device.register()
        except subprocess.CalledProcessError as error:
            raise pytest.UsageError(
                "--devices: strict was asked for, and does not compile; see above."
            ) from error


def describe_devices(names: Sequence[str]) -> str:
    """Name the devices for the head of the report, and say why one is left out."""
    line = f"devices: {', '.join(names)}"
    if NOT_IN_AUTO in names:
        return line
    reason = "make strict runs it" if IS_AVAILABLE[NOT_IN_AUTO]() else "there is no C++ compiler"
    return f"{line} (without {NOT_IN_AUTO}: {reason})"


def make_device_fixture(name: str) -> Callable[[], Iterator[None]]:
    """Make the fixture that holds a device as the default while an example runs."""

    @pytest.fixture(name=f"default_device_{name}")
    def hold_device() -> Iterator[None]:
        with torch.device(name):
            yield

    return hold_device
