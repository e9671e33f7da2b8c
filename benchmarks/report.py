"""The machine of a run, and the page that shows the results."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import torch

INTRODUCTION = """\
# Benchmarks

All methods of a table are timed in turn, round by round, in one process, each right after a call of
its own that is not timed; the figures are medians. *End to end* trains each method once a seed.
`make bench` runs them and writes this page. Times depend on the machine: read the ratios.

PyTorch has one thread unless a heading says otherwise. With two and `OMP_WAIT_POLICY=PASSIVE`,
waking the second one takes longer than a step of a small LSTM: there fewer, wider steps gain more
than they cost to compute.
"""

MEANING = {
    "update": "A whole PPO update: 16 rows of 128 steps, 32 features, hidden size 128, 4 actions, "
    "4 epochs. *tamiyo-rl* is `LSTMPolicyBundle` in a loop written for it; *its trainer* is the "
    "update of `RecurrentPPO`, from the buffer and with its diagnostics; *network alone* has no "
    "guard and no checks. *raw nn.LSTM* ignores resets: it is the limit of what keeps the rows "
    "whole. "
    "*sb3-contrib, loop removed* is sb3-contrib with its loop over time replaced by one call. "
    "sb3-contrib trains its shared LSTM by the policy's loss alone. Importing TorchRL turns the "
    "validation of `torch.distributions` off, which sb3-contrib gains from.",
    "parts": "A forward and backward pass on one minibatch; each column adds a part to the one "
    "before. *One more feature* is the column that marks separators, *in the shape of the lanes* "
    "the separators and what fills the lanes up, both still by `nn.LSTM`. *With heads* adds the "
    "two linear heads, *checked* the checks of the arguments, the log-probabilities and the "
    "entropy.",
    "rollout": "Collecting 128 steps of 16 environments that cost nothing. *tamiyo-rl* and *raw "
    "nn.LSTM step* act and step; *stored* also fills a `RolloutBuffer` and computes advantages, as "
    "sb3-contrib does; TorchRL stores five entries a step.",
    "end to end": "Training until the last twenty episodes return 475 of 500 (CartPole without "
    "velocities) or 0.95 of 1 (a cue recalled after sixteen steps); hidden size 64, medians over "
    "the seeds that solved. sb3-contrib has the settings that RL Baselines3 Zoo tuned for "
    "`CartPoleNoVel-v1`, eight environments among them, on both tasks. tamiyo-rl has settings for "
    "each task, chosen among some twenty on other seeds: 32 environments on CartPole, 16 on "
    "recall. With its defaults it solves CartPole too, in more steps. *Processor* time leaves out "
    "what else ran meanwhile.",
    "guard": "`evaluate_actions` with its guard and without; *guarded again* is the same as "
    "*guarded*, so their difference is the noise; *guard alone* is the guard around nothing.",
    "compile": "`evaluate_actions` with its backward pass on 16 rows of 128 steps, and "
    "`get_action` on 16 rows, both with an encoder of two layers of 128: the part that is "
    "compiled.",
    "scaling": "A forward and backward pass of the LSTM alone, 2 % resets; the base is T=128, B=16 "
    "and hidden size 128. Memory is how far one pass raises the peak of a fresh process.",
}


def environment() -> dict[str, Any]:
    """Describe the run: date, versions, cores, load."""
    packages = ("torch", "sb3-contrib", "torchrl")
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        "load before": round(os.getloadavg()[0], 2),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "default"),
    }


def write_page(results: Mapping[str, Any], path: Path) -> None:
    """Write the tables of every suite that has a record."""
    parts = [INTRODUCTION]
    for name, meaning in MEANING.items():
        for key in (key for key in results if key.split(",")[0] == name):
            table = _outcomes if name == "end to end" else _times
            run = _run(results[key]["environment"])
            parts += [f"## {key.capitalize()}\n", meaning + "\n", *table(results[key]), run]
    path.write_text("\n".join(parts))


def _times(result: Mapping[str, Any]) -> Iterator[str]:
    cases = result["cases"]
    methods = list(cases[0]["seconds"])
    keys = [key for key in cases[0] if key not in {"seconds", "megabytes"}]
    columns = [*keys, *(f"{method}, ms" for method in methods)]
    columns += [f"{method}, MB" for method in cases[0].get("megabytes", {})]
    yield "| " + " | ".join(columns) + " |"
    yield "|" + " --- |" * len(columns)
    for case in cases:
        times = [f"{case['seconds'][method] * 1e3:.4g}" for method in methods]
        memory = [f"{value:.3g}" for value in case.get("megabytes", {}).values()]
        yield "| " + " | ".join([*(_key(case[key]) for key in keys), *times, *memory]) + " |"


def _outcomes(result: Mapping[str, Any]) -> Iterator[str]:
    """Show how each method did on each task, over the seeds."""
    yield "| task | method | solved | steps | seconds | processor, s |"
    yield "|" + " --- |" * 6
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for case in result["cases"]:
        groups.setdefault((case["task"], case["method"]), []).append(case)
    for (task, method), cases in groups.items():
        solved = [case for case in cases if case["solved"]]
        keys = ("steps", "seconds", "processor_seconds")
        medians = [f"{median(case[key] for case in solved or cases):,.0f}" for key in keys]
        count = f"{len(solved)} of {len(cases)}"
        yield "| " + " | ".join([task, method, count, *medians]) + " |"


def _run(run: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return (
        f"\nRun on {run['date']} with {versions}, Python {run['python']}, {run['processor']}, "
        f"threads: {run['threads']}, load {run['load before']}.\n"
    )


def _key(value: object) -> str:
    return f"{value:.0%}" if isinstance(value, float) else str(value)
