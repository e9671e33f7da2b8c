"""The page about who keeps the contract, from its record."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
RECORD = Path("docs/reference/records/field/contract.json")
PAGE = Path("docs/reference/who-keeps-the-contract.md")
REPRODUCTIONS = Path("tests/field/reproductions")
# Each question: the head of its column, and what the table tells of it.
QUESTIONS = {
    "rollout": (
        "reset in the rollout",
        """\
Does each episode of a rollout begin from the same state? The cell shows by how much the outputs of
  the rollout at the same step differ between episodes.""",
    ),
    "training": (
        "reset in training",
        """\
Does each episode begin from the same state where training computes the outputs again?""",
    ),
    "alike": (
        "both alike",
        """\
Are the outputs of training those of the rollout, at each step? The cell shows by how much they
  differ.""",
    ),
    "carried": (
        "carried over a cut",
        """\
Where a rollout is cut inside an episode, or training cuts it into pieces, does the state go on?
  The cell shows by how much outputs and values at the same step differ, over two rollouts.""",
    ),
    "bootstrap": (
        "truncation is bootstrapped from",
        """\
Which value continues the return of an episode that is truncated? Right is that of its last
  observation, which no action answers. An episode that goes on for longer tells that value.""",
    ),
    "gradient": (
        "no gradient crosses an end",
        """\
Does the gradient of an output reach the observations of its own episode only? The cell shows
  how many steps reach another.""",
    ),
    "copy": (
        "stores a copy",
        """\
Does a rollout store the same if the environment writes all observations into one array? The cell
  shows how many differ.""",
    ),
}
# Each "no", and the file that reproduces it.
REPRODUCED = {
    ("torchrl, GymWrapper, GAE(shifted=False)", "copy"): "torchrl_reused_array",
    ("rsl-rl-lib", "bootstrap"): "rsl_rl_time_out",
    ("rsl-rl-lib", "copy"): "rsl_rl_reused_tensor",
    ("rllib", "carried"): "rllib_critic_state",
    ("skrl", "carried"): "skrl_stored_state",
    ("skrl", "bootstrap"): "skrl_truncation",
    ("skrl, time_limit_bootstrap=True", "carried"): "skrl_stored_state",
    ("skrl, time_limit_bootstrap=True", "bootstrap"): "skrl_truncation",
    ("tianshou", "alike"): "tianshou_stacks",
    ("tianshou", "carried"): "tianshou_stacks",
    ("tianshou", "bootstrap"): "tianshou_stacks",
}

TEXT = """\
# Who keeps the contract

A policy with memory learns from what its rollout saw only if rollout and training agree on when an
episode ends. This page asks that of the recurrent PPO of other libraries, by running it. Their own
code collects and trains, with a learning rate of 0, on an environment whose observation is the
number of the step: 1, 2, 3, ... Each episode shows the same, so that each output tells its place.

## The questions

{questions}

A difference under {tolerance:.0e} counts as none. The users of skrl write its recurrent models:
those here reset their state where it says that an episode ended. Lightning and transformers collect
no rollouts.

## The answers

| library | {heads} |
|---|{rules}
{rows}

[Proved on real libraries](real-libraries.md#does-their-training-see-what-their-rollout-saw) has the
first ratio and the values on CartPole.

## Where the answer is no

Each file below reproduces one answer, needs the library alone, and ends without an error while the
answer is what the table says.

{reproductions}

`make field-test` installs the libraries, runs all of it, and writes this page: Python {python},
{versions}.
"""


def write_page(record: Mapping[str, Any], path: Path = PAGE) -> None:
    """Write the page."""
    answers = record["answers"]
    text = TEXT.format(
        questions="\n".join(f"- *{head}*: {told}" for head, told in QUESTIONS.values()),
        tolerance=record["tolerance"],
        heads=" | ".join(head for head, _ in QUESTIONS.values()),
        rules="---|" * len(QUESTIONS),
        rows="\n".join(_row(library, found) for library, found in answers.items()),
        reproductions="\n\n".join(map(_reproduction, dict.fromkeys(REPRODUCED.values()))),
        python=record["python"],
        versions=", ".join(f"{name} {number}" for name, number in record["versions"].items()),
    )
    path.write_text(text, "utf-8")


def _row(library: str, found: Mapping[str, Any]) -> str:
    return f"| {library} | {' | '.join(_cell(found[question]) for question in QUESTIONS)} |"


def _cell(answer: Mapping[str, Any]) -> str:
    return f"{'yes' if answer['kept'] else '**no**'}: {answer['measured']}"


def _reproduction(name: str) -> str:
    path = REPRODUCTIONS / f"{name}.py"
    told = ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8")))
    return f"`{path}`: {told}"
