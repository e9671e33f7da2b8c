"""The versions on which the numbers of a run depend."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    packages = {name: version(name) for name in ("tamiyo-rl", "gymnasium", "numpy")}
    # Its metadata lacks the part that tells a build for the CPU from one for CUDA.
    build = str(torch.__version__)
    return {"python": platform.python_version(), "torch": build} | packages
