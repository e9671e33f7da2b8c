"""The examples that are left out on the device are few, and it truly cannot run them."""

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tests.doctests.documents import find_documents, read_blocks
from tests.doctests.examples import Block
from tests.doctests.left_out import LEFT_OUT


@pytest.fixture(scope="module")
def blocks(pytestconfig: pytest.Config) -> list[Block]:
    documents = find_documents(pytestconfig.rootpath)
    return [block for path in documents for block in read_blocks(path)]


@pytest.fixture
def group_is_left() -> Iterator[None]:
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


def test_few_examples_are_left_out() -> None:
    assert len(LEFT_OUT) <= 5


@pytest.mark.usefixtures("group_is_left")
@pytest.mark.parametrize("line", LEFT_OUT)
def test_an_example_left_out_is_one_and_fails(
    line: str, blocks: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = [block for block in blocks if line in block.source]
    monkeypatch.chdir(tmp_path)
    assert block.output is not None
    assert run_on_the_device(block.source) != block.output


def run_on_the_device(source: str) -> str | None:
    """Return what an example prints, or None if it raises."""
    try:
        with torch.device("strict"), redirect_stdout(io.StringIO()) as printed:
            exec(source, {})  # noqa: S102  to run the example is the point
    except RuntimeError:
        return None
    return printed.getvalue()
