"""Run the tests with each Python and PyTorch: `python tools/matrix.py [PYTHON/TORCH ...]`.

A pair has an environment in a temporary folder, which is removed at the end, a log in
`runs/matrix/`, and a record in `docs/reference/records/matrix/`. A pair that passed with the files
at hand is not run again, so an interrupted matrix goes on where it stopped.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "runs/matrix"
RECORDS = ROOT / "docs/reference/records"
PAIRS = (
    *("3.11/2.13.0", "3.12/2.13.0", "3.13/2.13.0"),
    *("3.11/2.9.1", "3.11/2.11.0", "3.11/2.14.1", "3.11/2.15.0"),
)
# Each release of these wants PyTorch in a range of its own, so each pair resolves them anew.
FOLLOW_TORCH = {
    *("torch", "tensordict", "pyvers", "torchrl", "hoptorch"),
    *("stable_baselines3", "sb3_contrib", "setuptools"),
}
# One record of the catalogue for each PyTorch is enough: Python does not change what it does.
CATALOGUE_PYTHON = "3.11"
# The second is a processor without AVX-512, which every x86-64 machine can play.
PROCESSORS: tuple[dict[str, str], ...] = (
    {},
    {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
)


class Pair(NamedTuple):
    """A Python and a PyTorch, such as 3.12 and 2.13.0."""

    python: str
    torch: str

    @property
    def name(self) -> str:
        """The stem of its log and of its record."""
        return f"python-{self.python}-torch-{self.torch}"

    @property
    def record(self) -> Path:
        """Its record, which is committed."""
        return RECORDS / "matrix" / f"{self.name}.json"


class Unavailable(Exception):  # noqa: N818 - not an error of the package
    """An interpreter or a download that cannot be had here."""


def parse(text: str) -> Pair:
    """Read `3.12/2.13.0`."""
    if not re.fullmatch(r"3\.\d+(\.\d+)?/\d+\.\d+\.\d+", text):
        raise SystemExit(f"pair: expected PYTHON/TORCH such as 3.12/2.13.0, got {text!r}.")
    return Pair(*text.split("/"))


def find_python(version: str) -> str:
    """Return an interpreter on the path, or one that pyenv installed."""
    installed = sorted(Path.home().glob(f".pyenv/versions/{version}*/bin/python"), reverse=True)
    for candidate in (shutil.which(f"python{version}"), *map(str, installed)):
        if candidate and _runs(candidate):
            return candidate
    raise Unavailable(f"no Python {version} on the path or under ~/.pyenv/versions")


def _runs(python: str) -> bool:
    """Tell a real interpreter from pyenv's stand-in for a version that isn't switched on."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def constraints(torch: str) -> str:
    """Return the pins; for another PyTorch than theirs, without what depends on it."""
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if f"torch=={torch}" in pins:
        return "\n".join([*pins, ""])
    kept = [pin for pin in pins if pin.partition("==")[0] not in FOLLOW_TORCH]
    return "\n".join([*kept, f"torch=={torch}", ""])


def digest() -> str:
    """Return a digest of all tracked files but the records and their page."""
    skipped = (":!docs/reference/records", ":!docs/reference/verified-on.md", ":!CHANGELOG.md")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", ".", *skipped], cwd=ROOT, capture_output=True, check=True
    )
    paths = [ROOT / name for name in sorted(listed.stdout.decode().split("\0")) if name]
    contents = (path.read_bytes() for path in paths if path.is_file())
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def counts(log: str) -> dict[str, int]:
    """Add up what pytest says at the end of each run, `3 failed, 1268 passed in 300.12s`."""
    ends = re.findall(r"^=* ?(\d+ [a-z]+(?:, \d+ [a-z]+)*) in \d", log, re.MULTILINE)
    found = Counter[str]()
    for number, what in re.findall(r"(\d+) ([a-z]+)", ", ".join(ends)):
        found[what.removesuffix("s")] += int(number)
    return {what: found[what] for what in ("passed", "failed", "error", "skipped")}


def resolved(python: Path) -> dict[str, str]:
    """Return the installed versions that differ from the pins."""
    pins = set((ROOT / "constraints.txt").read_text("utf-8").splitlines())
    command = [str(python), "-m", "pip", "list", "--format", "json"]
    listed = subprocess.run(command, capture_output=True, check=True).stdout
    found = {package["name"]: package["version"] for package in json.loads(listed)}
    ours = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    return {
        name: version
        for name, version in found.items()
        if name.lower().replace("_", "-") in ours and f"{name}=={version}" not in pins
    }


def call(log: IO[str], *command: str, **variables: str) -> bool:
    """Run a command with its output in the log; tell whether it succeeded."""
    log.write(f"$ {' '.join(command)}\n")
    log.flush()
    env = os.environ | variables
    ended = subprocess.run(
        command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=env, check=False
    )
    return ended.returncode == 0


def run(pair: Pair, log: IO[str]) -> dict[str, Any]:
    """Install a pair, run the tests, record them and return the record."""
    python = find_python(pair.python)
    files = digest()
    with tempfile.TemporaryDirectory(prefix="tamiyo-rl-") as folder:
        pins, venv = (Path(folder, name) for name in ("constraints.txt", "venv"))
        pins.write_text(constraints(pair.torch), "utf-8")
        settings = (f"VENV={venv}", f"PYTHON={python}", f"CONSTRAINTS={pins}")
        if not call(log, "make", "install", *settings):
            raise Unavailable("it could not be installed; the log says why")
        begun = time.monotonic()
        tested = call(log, "make", "test", *settings)
        seconds = round(time.monotonic() - begun)
        verified = pair.python != CATALOGUE_PYTHON or verify(pair, venv, log)
        ended = {"ok": tested and verified, "seconds": seconds, "files": files}
        record = ended | described(venv, log)
        pair.record.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
        # The next pair tests that the page says what the records say.
        call(log, f"{venv}/bin/python", "-m", "tools.crossings", "docs/reference")
        return record


def verify(pair: Pair, venv: Path, log: IO[str]) -> bool:
    """Record the catalogue of crossings with this processor, and with it as a smaller one."""
    held = []
    for processor in PROCESSORS:
        path = venv / "record.json"
        held.append(call(log, f"{venv}/bin/tamiyo-rl", "verify", "--json", str(path), **processor))
        if not path.exists():
            return False
        capability = json.loads(path.read_text("utf-8"))["cpu_capability"].lower()
        shutil.copy(path, RECORDS / f"cpu-torch-{pair.torch}-{capability}.json")
    return all(held)


def described(venv: Path, log: IO[str]) -> dict[str, Any]:
    """Describe what ran and how it ended."""
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        **versions(venv / "bin/python"),
        "tests": counts(Path(log.name).read_text("utf-8")),
        "resolved": resolved(venv / "bin/python"),
    }


def versions(python: Path) -> dict[str, str]:
    """Return the versions of Python and PyTorch in full."""
    code = "import platform, torch; print(platform.python_version(), torch.__version__)"
    said = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return dict(zip(("python", "torch"), said.stdout.split(), strict=True))


def finish(pair: Pair) -> str:
    """Run a pair unless it passed with these files, and say how it ended."""
    if pair.record.exists():
        record = json.loads(pair.record.read_text("utf-8"))
        if record["ok"] and record["files"] == digest():
            return "passed before"
    with (LOGS / f"{pair.name}.log").open("w", encoding="utf-8") as log:
        try:
            record = run(pair, log)
        except Unavailable as missing:
            return f"UNAVAILABLE: {missing}"
    tests = ", ".join(f"{number} {what}" for what, number in record["tests"].items() if number)
    return f"{'passed' if record['ok'] else 'FAILED'}: {tests} in {record['seconds']} s"


def main(arguments: list[str]) -> int:
    """Run the pairs one after another; 1 if one failed or could not be had."""
    pairs = [parse(text) for text in arguments or PAIRS]
    LOGS.mkdir(parents=True, exist_ok=True)
    (RECORDS / "matrix").mkdir(exist_ok=True)
    ended = []
    for pair in pairs:
        ended.append(finish(pair))
        print(f"Python {pair.python}, PyTorch {pair.torch}: {ended[-1]}", flush=True)
    return int(not all(end.startswith("passed") for end in ended))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
