"""Runs what was copied: in a fresh process, in an empty directory, with warnings as errors."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import yaml  # type: ignore[import-untyped]  # it ships no types

from tests.site.browser.copying import Copied
from tests.site.visible_code import trim

LIMIT_S = 1200
# An output may name the file and the line of the code that ran: the reader's own.
LOCATION = re.compile(r"\S+\.(?:md|py):\d+")
PARSERS: dict[str, Callable[[str], object]] = {
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "json": json.loads,
}


def run_copied(copied: Copied, folder: Path) -> str:
    """Use a copy as its reader would; gives what went wrong, or nothing."""
    language = copied.shown.language
    if language in PARSERS:
        return _parse(copied.text, PARSERS[language])
    if language == "console":
        return _run(["sh", "-e", "-c", copied.text], folder, _read_outputs(copied.shown.source))
    (folder / "example.py").write_text(f"{copied.text}\n", "utf-8")
    expected = copied.shown.output if language == "python" else None
    return _run([sys.executable, "-W", "error", "example.py"], folder, expected)


def _parse(text: str, parser: Callable[[str], object]) -> str:
    try:
        parser(text)
    except (ValueError, yaml.YAMLError) as error:
        return str(error)
    return ""


def _run(command: list[str], folder: Path, expected: str | None) -> str:
    """Run a command; without an expected output any will do (a session shows values)."""
    finished = subprocess.run(  # noqa: S603  what the site shows is what is to be run
        command,
        cwd=folder,
        env=_make_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if command[0] == "sh" else subprocess.PIPE,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if finished.returncode:
        return f"came exit status {finished.returncode} and\n{finished.stdout}{finished.stderr}"
    if expected is not None and _hide_locations(finished.stdout) != _hide_locations(expected):
        return f"expected the output\n{expected}\ncame\n{finished.stdout}"
    return ""


def _hide_locations(output: str) -> str:
    return LOCATION.sub("(file:line)", trim(output))


def _make_environment() -> dict[str, str]:
    """Put the commands of this environment on the path, and one thread in each process."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"PATH": path, "COLUMNS": "80", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    return {**os.environ, **settings}


def _read_outputs(session: str) -> str:
    """Read the lines of a console block that nobody types."""
    outputs, goes_on = [], False
    for line in session.split("\n"):
        is_typed = goes_on or line.startswith("$ ")
        goes_on = is_typed and line.endswith("\\")
        outputs += [] if is_typed else [line]
    return "\n".join(outputs)
