"""The versions on which the numbers of a run depend."""

from __future__ import annotations

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    packages = ("tamiyo-rl", "torch", "gymnasium", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
