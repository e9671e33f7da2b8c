"""The page about real libraries, from its record."""

from collections.abc import Mapping
from itertools import starmap
from pathlib import Path
from typing import Any

RECORD = Path("docs/reference/records/field/real-libraries.json")
PAGE = Path("docs/reference/real-libraries.md")
# The files of cases, and the package whose version counts.
LIBRARIES = {
    "sb3_contrib": "sb3-contrib",
    "torchrl": "torchrl",
    "rsl_rl": "rsl-rl-lib",
    "rllib": "ray",
    "skrl": "skrl",
    "tianshou": "tianshou",
    "lightning": "lightning",
    "transformers": "transformers",
}
TOOLS = {
    "watch": "`watch_training`",
    "guard": "`guard_training_inputs`",
    "tracer": "`trace_crossings`",
}

TEXT = """\
# Proved on real libraries

Do the tools leave the training of other libraries in peace, and do they see what their users get
wrong? Each case below trains a library for a few updates under all tools at once. A mistake is made
as a user makes it, by changing a policy, a module or an optimizer.

**{correct} correct trainings: {alarms} alarms. {mistakes} mistakes: {noticed} noticed.**

| library | the training | PyTorch raises | noticed by |
|---|---|---|---|
{rows}

## Does their training see what their rollout saw?

Before the first step of an update, training computes the log-probabilities and values of the
rollout again. The table shows by how much they differ, the largest of four updates with episodes
that end inside the rollout. RLlib computes the old values in its learner, so there is nothing to
compare. [Who keeps the contract](who-keeps-the-contract.md) asks the same libraries about resets,
truncation, gradients and copies.

| library | log-probability | value |
|---|---|---|
{ratios}

`make field-test` installs the libraries, runs all of it, and writes this page: Python {python},
{versions}.
pufferlib did not build.
"""


def write_page(record: Mapping[str, Any], path: Path = PAGE) -> None:
    """Write the page."""
    cases = record["cases"]
    correct = [case for case in cases if case["is_correct"]]
    mistakes = [case for case in cases if not case["is_correct"]]
    text = TEXT.format(
        correct=len(correct),
        alarms=sum(bool(case["noticed_by"]) for case in correct),
        mistakes=len(mistakes),
        noticed=sum(bool(case["noticed_by"]) for case in mistakes),
        rows="\n".join(map(_row, cases)),
        ratios="\n".join(starmap(_ratio, record["first_ratio"].items())),
        python=record["python"],
        versions=", ".join(f"{name} {number}" for name, number in record["versions"].items()),
    )
    path.write_text(text, "utf-8")


def _row(case: Mapping[str, Any]) -> str:
    raised = "an error" if case["raised"] else ""
    tools = [_tool(name, found) for name, found in case["noticed_by"].items()]
    return f"| {case['library']} | {case['what']} | {raised} | {', '.join(tools)} |"


def _ratio(library: str, differences: Mapping[str, float]) -> str:
    cells = [f"{differences[n]:.1e}" if n in differences else "" for n in ("log_prob", "value")]
    return f"| {library} | {' | '.join(cells)} |"


def _tool(name: str, found: list[str]) -> str:
    rules = f" ({', '.join(found)})" if name == "watch" else ""
    return TOOLS[name] + rules
