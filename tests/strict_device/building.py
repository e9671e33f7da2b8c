"""Compile the device, once for each version of it and of PyTorch."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("strict.cpp")
FOLDER = Path(__file__).with_name("build")
TORCH = Path(torch.__file__).parent
FLAGS = ["-std=c++20", "-O1", "-fPIC", "-shared", "-w"]
INCLUDES = [f"-I{TORCH / 'include'}", f"-I{TORCH / 'include/torch/csrc/api/include'}"]
LIBRARIES = [f"-L{TORCH / 'lib'}", "-lc10", "-ltorch_cpu", "-ltorch"]


def has_compiler() -> bool:
    """Tell whether there is a C++ compiler: the one that CXX names, or c++."""
    return shutil.which(_compiler()) is not None


def build() -> Path:
    """Compile the device unless this version is built already, and return the library."""
    library = FOLDER / f"strict-{_version()}.so"
    if not library.exists():
        FOLDER.mkdir(exist_ok=True)
        _compile(library)
    return library


def _compile(library: Path) -> None:
    # Two runs may build at once: each writes a file of its own, and the last to end replaces it.
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        output = Path(folder) / library.name
        command = [_compiler(), *FLAGS, *INCLUDES, str(SOURCE), "-o", str(output), *LIBRARIES]
        subprocess.run(command, check=True)  # noqa: S603 - the compiler, with our own source
        output.replace(library)


def _version() -> str:
    parts = (SOURCE.read_text("utf-8"), torch.__version__, _compiler(), *FLAGS)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _compiler() -> str:
    return os.environ.get("CXX", "c++")
