"""Description of the machine and the packages of a run, which every record begins with."""

from __future__ import annotations

import datetime as dt
import os
import platform
import sys
from importlib.metadata import version
from typing import Any

import torch

PACKAGES = (
    "torch",
    "gymnasium",
    "numpy",
    "sb3-contrib",
    "torchrl",
    "popgym",
    "torch-audit",
    "torchtest2",
    "torchdiag",
)


def describe_machine() -> dict[str, Any]:
    """Return the date, the versions of the packages in use, the processor and its load."""
    used = [name for name in PACKAGES if name.replace("-", "_") in sys.modules]
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in used},
        "processor": platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "load before": round(os.getloadavg()[0], 2),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "default"),
    }
