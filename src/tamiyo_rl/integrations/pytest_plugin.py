"""A pytest plugin: `--trace-crossings` traces every test, and `watch_loop` watches a training."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tamiyo_rl.contract.nesting import HasParameters
from tamiyo_rl.contract.trace import trace_crossings
from tamiyo_rl.contract.watch import Watch, watch_training


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--trace-crossings`."""
    parser.getgroup("tamiyo-rl").addoption(
        "--trace-crossings",
        action="store_true",
        help="make errors about inference tensors say where the tensor was made",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Run a test under `trace_crossings()`."""
    if not item.config.getoption("trace_crossings"):
        return (yield)
    with trace_crossings():
        return (yield)


@pytest.fixture
def watch_loop() -> Iterator[Callable[[HasParameters | Iterable[HasParameters]], Watch]]:
    """Watch the training that follows in a test, which fails at its end if it is broken."""
    watches: list[Watch] = []
    with ExitStack() as entered:

        def watch(modules: HasParameters | Iterable[HasParameters]) -> Watch:
            watches.append(entered.enter_context(watch_training(modules)))
            return watches[-1]

        yield watch
    for ended in watches:
        ended.report.raise_if_broken()
