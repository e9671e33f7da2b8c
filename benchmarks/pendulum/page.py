"""The page of the site, from the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.changed import changed_settings
from benchmarks.pendulum.settings import (
    CONFIG,
    ENVIRONMENTS,
    EPISODES,
    GOAL,
    HEAD_DIMS,
    HIDDEN,
    SEEDS,
)

RECORD = Path("benchmarks/pendulum/record.json")
PAGE = Path("docs/reference/pendulum.md")
WHO = tuple(SEEDS)

TEXT = """\
# Pendulum

The task is Gymnasium's `Pendulum-v1` without its velocity, `tamiyo-rl/PositionOnlyPendulum-v1`: a
policy without memory cannot tell in which direction the pendulum moves. `make pendulum` trains on
it with {seeds} seeds. It also trains sb3-contrib's `RecurrentPPO`, with the settings and the number
of steps that
[RL Baselines3 Zoo](https://github.com/DLR-RM/rl-baselines3-zoo/blob/master/hyperparams/ppo_lstm.yml)
tuned for `PendulumNoVel-v1`; seeds: {peer_seeds}, since it takes several times as long. Each cell
is the mean return of {episodes} episodes with the most probable actions, and its standard error.

| seed | {who} |
|---|---|---|
{rows}
| environment steps | {steps} |
| processor seconds, mean | {seconds} |

{summary} The Zoo's
[benchmark](https://github.com/DLR-RM/rl-baselines3-zoo/blob/master/benchmark.md) lists -218 for
sb3-contrib; why the run here stays below it was not examined.

*tamiyo-rl*: {environments} environments, a separate critic, {hidden} units, one layer of
{head_dim} before each output, {settings}, else the defaults of `PPOConfig`. *sb3-contrib*:
generalised state-dependent exploration, two LSTMs of 256 units and layers of 64 and 64, without
normalised observations or rewards. Each library has the settings and the number of steps that were
chosen for it. The settings of tamiyo-rl were chosen on seed 0. One thread each, beside other work
on the same machine, {versions}.
"""


def write_page(record: Mapping[str, Any], path: Path = PAGE) -> None:
    """Write the page."""
    runs = record["runs"]
    machine = record["environment"]
    versions = {"python": machine["python"], "machine": machine["processor"], **machine["versions"]}
    text = TEXT.format(
        who=" | ".join(WHO),
        rows="\n".join(f"| {seed} | {' | '.join(cells(seed, runs))} |" for seed in SEEDS[WHO[0]]),
        steps=" | ".join(f"{of(who, runs)[0]['steps']:,}" for who in WHO),
        seconds=" | ".join(f"{fmean(r['cpu_seconds'] for r in of(who, runs)):.0f}" for who in WHO),
        summary=" ".join(summary(who, of(who, runs)) for who in WHO),
        seeds=len(SEEDS["tamiyo-rl"]),
        peer_seeds=", ".join(map(str, SEEDS["sb3-contrib"])),
        episodes=EPISODES,
        environments=ENVIRONMENTS,
        hidden=HIDDEN,
        head_dim=HEAD_DIMS[0],
        settings=changed_settings(CONFIG),
        versions=", ".join(f"{name} {number}" for name, number in versions.items()),
    )
    path.write_text(text, "utf-8")


def of(who: str, runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the runs of one library."""
    return [run for run in runs if run["who"] == who]


def cells(seed: int, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the returns of a seed, a cell for each library."""
    own = {run["who"]: run for run in runs if run["seed"] == seed}
    return [cell(own[who]) if who in own else "not run" for who in WHO]


def cell(run: Mapping[str, Any]) -> str:
    """Return a mean with its standard error."""
    return f"{run['mean']:.0f} ± {run['standard_error']:.0f}"


def summary(who: str, runs: Sequence[Mapping[str, Any]]) -> str:
    """Say how many runs reach the goal."""
    reached = sum(run["mean"] >= GOAL for run in runs)
    return f"Of {who}, {reached} of {len(runs)} reach {GOAL:.0f}."
