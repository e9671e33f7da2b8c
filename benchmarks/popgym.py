"""Train on POPGym (Morad et al. 2023, arXiv:2303.01859), and write the record and the page.

`python -m benchmarks.popgym` trains what the record does not hold yet; what was trained stays.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from popgym.wrappers import Antialias, PreviousAction  # type: ignore[import-untyped]
from rich.console import Console

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import PPOConfig, RecurrentPPO, evaluate_policy, make_envs

RECORD = Path("benchmarks/popgym.json")
PAGE = Path("docs/reference/popgym.md")
TASKS = ("RepeatPreviousEasy", "PositionOnlyCartPoleEasy", "CountRecallEasy")
SEEDS, ENVIRONMENTS, HIDDEN, EPISODES = (0, 1, 2), 16, 64, 100
CONFIG = PPOConfig(
    total_steps=300_000,
    num_steps=64,
    sequence_length=64,
    num_minibatches=8,
    epochs=10,
    learning_rate=3e-3,
)


def make_task(task: str, num_envs: int) -> VectorEnv[Any, Any, Any]:
    """Make the environments as the paper wraps them: the last action is observed too."""
    return make_envs(
        f"popgym:popgym-{task}-v0",
        num_envs,
        wrappers=(PreviousAction, Antialias),
        disable_env_checker=True,  # it warns about infos that POPGym returns twice
    )


def train(task: str, seed: int) -> dict[str, Any]:
    """Train one task with one seed, and return the returns of its episodes."""
    torch.manual_seed(seed)
    envs = make_task(task, ENVIRONMENTS)
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space, envs.single_action_space, hidden_dim=HIDDEN
    )
    settings = asdict(CONFIG) | {"seed": seed}
    trainer = RecurrentPPO(envs, bundle, PPOConfig(**settings))
    began = time.process_time()
    curve = [(report.steps, report.episode_return) for report in trainer.train()]
    seconds = time.process_time() - began
    returns = evaluate_policy(bundle, make_task(task, EPISODES), trainer.normalizer, seed=1000)
    known = [value for _, value in curve if not np.isnan(value)]
    return {
        "task": task,
        "seed": seed,
        "steps": trainer.steps,
        "final": known[-1],
        "highest": max(known),
        "evaluation": float(returns.mean()),
        "cpu_seconds": round(seconds, 1),
        "curve": [(steps, round(value, 4)) for steps, value in curve[:: len(curve) // 20]],
    }


def missing(runs: list[dict[str, Any]]) -> Iterator[tuple[str, int]]:
    """Yield the runs that the record does not hold."""
    done = {(run["task"], run["seed"]) for run in runs}
    for task in TASKS:
        yield from ((task, seed) for seed in SEEDS if (task, seed) not in done)


def environment() -> dict[str, str]:
    """Return what the figures depend on."""
    packages = {name: version(name) for name in ("torch", "gymnasium", "popgym", "numpy")}
    return {"python": platform.python_version(), "machine": platform.machine(), **packages}


def main() -> None:
    """Train what is missing, one thread, and write the page."""
    torch.set_num_threads(1)
    console, record = Console(), {"environment": environment(), "runs": []}
    if RECORD.exists():
        record = json.loads(RECORD.read_text())
    for task, seed in missing(record["runs"]):
        run = train(task, seed)
        record["runs"].append(run)
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        console.print(f"{task} seed {seed}: {run['final']:.3f} in {run['cpu_seconds']:.0f} s")


if __name__ == "__main__":
    main()
