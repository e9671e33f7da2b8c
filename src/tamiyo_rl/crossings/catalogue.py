"""A crossing, and the catalogue of them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from tamiyo_rl.crossings.lab import Lab

Outcome = Literal[
    "fine",
    "silently wrong",
    "raises on the way",
    "raises in forward",
    "raises in backward",
    "raises in step",
]
Verdict = Literal["correct", "breach", "misuse"]
Tool = Literal["guard", "audit", "ratio", "backward", "trace"]
Run = Callable[[Lab], Mapping[str, torch.Tensor]]


@dataclass(frozen=True)
class Elsewhere:
    """What is expected of a crossing in places where PyTorch does something else.

    Attributes:
        where: The places in words, such as `before PyTorch 2.11`.
        why: What PyTorch does there, a sentence.
        is_here: Whether this machine is such a place when the crossing runs on a device.
        expected: As for `Crossing`.
        verdict: As for `Crossing`.
        noticed_by: As for `Crossing`.
    """

    where: str
    why: str
    is_here: Callable[[str], bool]
    expected: Outcome
    verdict: Verdict
    noticed_by: frozenset[Tool]


def plain(lab: Lab) -> Mapping[str, torch.Tensor]:
    """Build the loss as it should be: from the differentiable initial state."""
    return lab.terms(lab.evaluate())


@dataclass(frozen=True)
class Crossing:
    """One way for a rollout tensor to reach training.

    Attributes:
        id: `family.name`.
        sentence: What the code does.
        expected: What PyTorch does with it, with no tool of ours.
        verdict: `correct`, `breach` (harmless here, but C4 is broken) or `misuse`.
        noticed_by: The tools that must notice it.
        run: Builds the terms of a loss in a laboratory.
        instead: For a misuse that no tool notices, what makes it impossible.
        reference: Builds the terms that it should have built.
        learned: Whether the policy learns its initial state.
        core: Of the policy, as `Policy` names them.
        elsewhere: What is expected where PyTorch does something else; None if it never does.
    """

    id: str
    sentence: str
    expected: Outcome
    verdict: Verdict
    noticed_by: frozenset[Tool]
    run: Run
    instead: str = ""
    reference: Run = plain
    learned: bool = False
    core: str = "lstm"
    elsewhere: Elsewhere | None = None

    @property
    def family(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]

    def on(self, device: str) -> Crossing:
        """Return the crossing with what is expected of it on this machine."""
        other = self.elsewhere
        if other is None or not other.is_here(device):
            return self
        return replace(
            self, expected=other.expected, verdict=other.verdict, noticed_by=other.noticed_by
        )


CATALOGUE: dict[str, Crossing] = {}


def enter(
    name: str,
    sentence: str,
    run: Run,
    expected: Outcome,
    verdict: Verdict,
    *noticed_by: Tool,
    **settings: Any,
) -> None:
    """Enter a crossing into the catalogue; `settings` are the last fields of `Crossing`."""
    tools = frozenset(noticed_by)
    CATALOGUE[name] = Crossing(name, sentence, expected, verdict, tools, run, **settings)


def crossing(
    expected: Outcome, verdict: Verdict, *noticed_by: Tool, **settings: Any
) -> Callable[[Run], Run]:
    """Enter a function into the catalogue: module and name make its id, its docstring says it."""

    def decorate(run: Run) -> Run:
        family = run.__module__.rpartition(".")[2]
        name = f"{family}.{run.__name__}".replace("_", "-")
        sentence = (run.__doc__ or "").strip()
        enter(name, sentence, run, expected, verdict, *noticed_by, **settings)
        return run

    return decorate
