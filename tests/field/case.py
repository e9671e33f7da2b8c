"""A training of another library, and what the tools say of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from tamiyo_rl import (
    InferenceTensorWarning,
    trace_crossings,
    watch_training,
)


class Training(NamedTuple):
    """A module, and what trains it for a few updates."""

    module: nn.Module
    learn: Callable[[], object]


class Case(NamedTuple):
    """A training of a library: correct, or with one mistake of a user.

    Attributes:
        library: The library.
        name: The mistake, or "correct".
        what: The mistake in words.
        make: Makes the training.
    """

    library: str
    name: str
    what: str
    make: Callable[[], Training]

    @property
    def id(self) -> str:
        """What names the case."""
        return f"{self.library}.{self.name}"


class Seen(NamedTuple):
    """What was seen of a training.

    Attributes:
        raised: The first line of the error that ended it; empty if it ran.
        noticed_by: The tools that noticed something, each with what it noticed.
    """

    raised: str
    noticed_by: dict[str, list[str]]


def observe(case: Case) -> Seen:
    """Run a training under the tools."""
    raised = ""
    notes: list[str] = []
    training = case.make()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with watch_training(training.module) as watch:
            try:
                with trace_crossings():
                    training.learn()
            except (RuntimeError, ValueError) as error:
                raised = str(error).splitlines()[0]
                notes = [note.splitlines()[0] for note in getattr(error, "__notes__", [])]
    guarded = [w for w in caught if issubclass(w.category, InferenceTensorWarning)]
    noticed = {
        "watch": [problem.rule for problem in watch.report.problems],
        "guard": [str(warning.message).splitlines()[0] for warning in guarded],
        "tracer": notes,
    }
    return Seen(raised, {tool: found for tool, found in noticed.items() if found})
