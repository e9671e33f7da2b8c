"""The published wheel serves readers of the README, and the sdist serves packagers."""

import os
import subprocess
import sys
import tarfile
import tomllib
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

from tests.doctests.documents import read_blocks

built = pytest.mark.dist


@pytest.fixture(scope="module")
def root(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath


@pytest.fixture(scope="module")
def wheel(root: Path) -> Path:
    (path,) = (root / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,) = (root / "dist").glob("*.tar.gz")
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    return folder / path.name.removesuffix(".tar.gz")


def run(command: list[str], folder: Path, **settings: str) -> str:
    finished = subprocess.run(  # noqa: S603  our own commands
        command,
        cwd=folder,
        env={**os.environ, **settings},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


@built
def test_wheel_holds_the_package_and_its_types(root: Path, wheel: Path) -> None:
    held = {name for name in ZipFile(wheel).namelist() if not name.startswith("tamiyo_rl-")}
    source = (path for path in (root / "src/tamiyo_rl").rglob("*") if path.is_file())
    files = {path.relative_to(root / "src").as_posix() for path in source}
    assert held == {name for name in files if not name.endswith(".pyc")}
    assert "tamiyo_rl/py.typed" in held


@built
def test_readme_runs_in_an_empty_environment(root: Path, wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    pins = ["--constraint", str(root / "constraints.txt")]
    run([python, "-m", "pip", "install", "--quiet", *pins, str(wheel)], tmp_path)
    example = read_blocks(root / "README.md")[0]
    (tmp_path / "example.py").write_text(example.source, "utf-8")
    # PyTorch itself warns when it is imported without NumPy.
    warnings = ["-W", "error", "-W", "ignore:Failed to initialize NumPy:UserWarning"]
    printed = run([python, *warnings, "example.py"], tmp_path)
    assert example.output is not None
    assert printed == example.output


@built
def test_sdist_holds_the_same_tests(root: Path, unpacked: Path) -> None:
    collect = [sys.executable, "-m", "pytest", "--collect-only", "--quiet"]
    here = run(collect, root)
    there = run(collect, unpacked, PYTHONPATH="src")
    assert [line for line in there.split("\n") if "::" in line] == [
        line for line in here.split("\n") if "::" in line
    ]


@built
def test_sdist_passes_tests_and_builds_the_site(unpacked: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--quiet", "README.md", "tests/contract"]
    run(command, unpacked, PYTHONPATH="src")
    run([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"], unpacked)


def test_citation_agrees_with_the_package(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))
    for name, key in (("title", "name"), *((k, k) for k in ("version", "license", "keywords"))):
        assert citation[name] == project[key], name
    assert [{"name": author["name"]} for author in project["authors"]] == citation["authors"]
