"""Every public name stands on a page of the reference."""

import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import tamiyo_rl
import tamiyo_rl.contract
import tamiyo_rl.crossings
import tamiyo_rl.policy
import tamiyo_rl.recurrent
import tamiyo_rl.training

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
BLOCK = re.compile(r"^::: ([\w.]+)\n((?: {4}.*\n)*)", re.MULTILINE)


def documented() -> set[str]:
    """Collect the names that the reference documents, with their modules."""
    text = "\n".join(path.read_text("utf-8") for path in sorted(REFERENCE.glob("*.md")))
    names: set[str] = set()
    for target, options in BLOCK.findall(text):
        members = re.findall(r"^ {8}- (\w+)$", options, re.MULTILINE)
        names |= {f"{target}.{member}" for member in members} if members else {target}
    return names


@pytest.mark.parametrize(
    "package",
    [tamiyo_rl.contract, tamiyo_rl.recurrent, tamiyo_rl.policy, tamiyo_rl.training],
    ids=lambda package: package.__name__,
)
def test_every_public_name_is_on_a_page(package: ModuleType) -> None:
    on_pages = [pkgutil.resolve_name(name) for name in documented()]
    public = {name: getattr(package, name) for name in package.__all__}
    missing = [name for name, value in public.items() if not any(value is v for v in on_pages)]
    assert not missing


def test_the_top_level_exports_only_what_is_on_a_page() -> None:
    pages = {name.rpartition(".")[2] for name in documented()}
    assert not set(tamiyo_rl.__all__) - pages


@pytest.mark.parametrize("name", sorted(documented()))
def test_what_is_on_a_page_exists_and_has_a_docstring(name: str) -> None:
    value = pkgutil.resolve_name(name)
    assert inspect.getdoc(value) or name.rpartition(".")[2].startswith("_")
