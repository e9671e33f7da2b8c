"""The suites: what is timed against what."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console

from benchmarks import compiled, end_to_end, guard, parts, rollout, rollout_peers, scaling
from benchmarks.rollout_env import ENVIRONMENTS
from benchmarks.timing import median_times
from benchmarks.update.by_hand import Packed, RawLSTM, SplitAndPad, StepLoop
from benchmarks.update.ours import NetworkAlone, Ours
from benchmarks.update.sb3 import SB3, SB3WithoutLoop
from benchmarks.update.torchrl import BACKENDS, TorchRL
from benchmarks.update.trainer import Trainer
from benchmarks.workload import Workload, make_workload

RESET_RATES, ROWS, STEPS = (0.0, 0.02, 0.1, 0.3), (4, 16), 128


def update(rounds: int, console: Console) -> dict[str, Any]:
    """Time a whole PPO update by every method."""
    cases = []
    for rows in ROWS:
        for rate in RESET_RATES:
            seconds = median_times(
                _update_methods(make_workload(rows=rows, reset_rate=rate)), rounds=rounds
            )
            cases.append({"rows": rows, "reset rate": rate, "seconds": seconds})
            _show(console, f"{rows} rows, {rate:.0%} resets", seconds)
    return {"cases": cases}


def _update_methods(workload: Workload) -> dict[str, Callable[[], object]]:
    torchrl = {f"TorchRL ({name}, eager)": TorchRL(workload, name) for name in BACKENDS}
    return {
        "tamiyo-rl": Ours(workload),
        "tamiyo-rl, its trainer": Trainer(workload),
        "tamiyo-rl, network alone": NetworkAlone(workload),
        "raw nn.LSTM, no resets": RawLSTM(workload),
        "sb3-contrib": SB3(workload),
        "sb3-contrib, loop removed": SB3WithoutLoop(workload),
        **torchrl,
        "step loop": StepLoop(workload),
        "split and pad": SplitAndPad(workload),
        "PackedSequence": Packed(workload),
    }


def adding(rounds: int, console: Console) -> dict[str, Any]:
    """Time what stands between `nn.LSTM` and `evaluate_actions`, part by part."""
    cases = []
    for rows in ROWS:
        for rate in RESET_RATES[1:3]:
            seconds = median_times(parts.make_parts(rows, rate), rounds=20 * rounds)
            cases.append({"rows": rows, "reset rate": rate, "seconds": seconds})
            _show(console, f"{rows} rows, {rate:.0%} resets", seconds)
    return {"cases": cases}


def collection(rounds: int, console: Console) -> dict[str, Any]:
    """Time the collection of a rollout."""
    methods: dict[str, Callable[[], object]] = {
        "tamiyo-rl": rollout.OurRollout(STEPS),
        "tamiyo-rl, stored": rollout.OurStoredRollout(STEPS),
        "raw nn.LSTM step": rollout.make_raw_rollout(STEPS),
        "sb3-contrib": rollout_peers.make_sb3_rollout(STEPS),
        "TorchRL": rollout_peers.make_torchrl_rollout(STEPS),
    }
    seconds = median_times(methods, rounds=3 * rounds)
    _show(console, f"{STEPS} steps of {ENVIRONMENTS} environments", seconds)
    return {"cases": [{"seconds": seconds}]}


def solving(rounds: int, console: Console) -> dict[str, Any]:
    """Train each task until it is solved, by each method in turn, over the seeds."""
    del rounds  # the seeds are the rounds
    cases = []
    for name, task in end_to_end.TASKS.items():
        for seed in end_to_end.SEEDS:
            for method in end_to_end.METHODS:
                outcome = end_to_end.time_to_solve(method, task, seed)
                cases.append({"task": name, "seed": seed, "method": method, **outcome._asdict()})
                console.print(cases[-1], highlight=False)
    return {"cases": cases}


def guarding(rounds: int, console: Console) -> dict[str, Any]:
    """Time `evaluate_actions` with its guard and without, and the guard around nothing."""
    methods = guard.make_guarded_and_unguarded() | {"guard alone": guard.guard_alone()}
    seconds = median_times(methods, rounds=20 * rounds)
    _show(console, "evaluate_actions, 16 x 128", seconds)
    return {"cases": [{"seconds": seconds}]}


def compiling(rounds: int, console: Console) -> dict[str, Any]:
    """Time the training call and the rollout call, eager and compiled."""
    seconds = median_times(compiled.make_eager_and_compiled(), rounds=20 * rounds)
    _show(console, "torch.compile", seconds)
    return {"cases": [{"seconds": seconds}]}


def growth(rounds: int, console: Console) -> dict[str, Any]:
    """Time and measure the peak memory of the LSTM alone along each axis."""
    cases = []
    for axis, size in scaling.sizes():
        seconds = median_times(scaling.make_passes(size), rounds=min(rounds, 3))
        memory = {name: _peak_memory(name, size) for name in seconds}
        cases.append({"axis": axis, **size, "seconds": seconds, "megabytes": memory})
        _show(console, f"{axis} = {size[axis]}", seconds)
    return {"cases": cases}


def _peak_memory(name: str, size: Mapping[str, int]) -> float:
    """Measure a pass in a process of its own: how far it raises the peak of resident memory."""
    # The kernel keeps the peak of the parent over exec, so it is set back before the pass.
    code = (
        "import re; from pathlib import Path; from benchmarks.scaling import make_passes;"
        f"run = make_passes({dict(size)!r})[{name!r}]; own = Path('/proc/self');"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', (own / 'status').read_text())[1]);"
        "(own / 'clear_refs').write_text('5'); before = peak(); run();"
        "print((peak() - before) / 1024)"
    )
    command = [sys.executable, "-c", code]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)  # noqa: S603 - our own code
    return float(finished.stdout)


def _show(console: Console, title: str, seconds: Mapping[str, float]) -> None:
    ours = next(iter(seconds.values()))
    console.print(f"[bold]{title}")
    for name, value in seconds.items():
        console.print(f"  {name:28} {value * 1e3:10.2f} ms  {value / ours:6.2f} x", highlight=False)


SUITES: dict[str, Callable[[int, Console], dict[str, Any]]] = {
    "update": update,
    "parts": adding,
    "rollout": collection,
    "end to end": solving,
    "guard": guarding,
    "compile": compiling,
    "scaling": growth,
}
