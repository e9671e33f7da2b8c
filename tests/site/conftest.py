"""Fixtures of the checks of the site."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tools.site.__main__ import main as finish_site


@pytest.fixture(scope="session")
def root(pytestconfig: pytest.Config) -> Path:
    return pytestconfig.rootpath


@pytest.fixture(scope="session")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the real site."""
    folder = tmp_path_factory.mktemp("site")
    run_mkdocs(root, folder)
    finish_site(folder)
    return folder


@pytest.fixture(scope="session")
def zensical_site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the real site with Zensical, which writes beside its sources."""
    folder = tmp_path_factory.mktemp("zensical")
    for name in ("mkdocs.yml", "CHANGELOG.md"):
        shutil.copy(root / name, folder)
    for name in ("docs", "overrides", "src"):
        shutil.copytree(root / name, folder / name)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    subprocess.run(command, cwd=folder, check=True)  # noqa: S603  ours
    finish_site(folder / "site")
    return folder / "site"


@pytest.fixture
def copy_of_site(site: Path, tmp_path: Path) -> Path:
    """Copy the real site, for a test to damage."""
    return Path(shutil.copytree(site, tmp_path / "site"))


def build_site(folder: Path, root: Path, files: dict[str, str]) -> Path:
    """Build a small site of these files, with the configuration of the real one less its nav."""
    configuration, _, _ = (root / "mkdocs.yml").read_text("utf-8").partition("\nnav:")
    (folder / "mkdocs.yml").write_text(configuration, "utf-8")
    shutil.copytree(root / "overrides", folder / "overrides")
    shutil.copytree(root / "docs/assets", folder / "docs/assets")
    for name, text in {"docs/index.md": "# Home\n", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    run_mkdocs(folder, folder / "site")
    return folder / "site"


def run_mkdocs(folder: Path, site: Path) -> None:
    """Build the site of a folder."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run([*command, "--site-dir", str(site)], cwd=folder, env=environment, check=True)  # noqa: S603  ours
