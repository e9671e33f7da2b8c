"""A whole PPO update, with one file for each method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console

from benchmarks.speed import workload as w
from benchmarks.speed.timing import median_times, show_times
from benchmarks.speed.update.by_hand import Packed, RawLSTM, SplitAndPad, StepLoop
from benchmarks.speed.update.ours import NetworkAlone, Ours
from benchmarks.speed.update.sb3 import SB3, SB3WithoutLoop
from benchmarks.speed.update.torchrl import BACKENDS, TorchRL
from benchmarks.speed.update.trainer import Trainer


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time a whole PPO update by every method."""
    cases = []
    for rows in w.ROWS:
        for rate in w.RESET_RATES:
            workload = w.make_workload(rows=rows, reset_rate=rate)
            seconds = median_times(make_methods(workload), rounds=rounds)
            cases.append({"rows": rows, "reset rate": rate, "seconds": seconds})
            show_times(console, f"{rows} rows, {rate:.0%} resets", seconds)
    return {"cases": cases}


def make_methods(workload: w.Workload) -> dict[str, Callable[[], object]]:
    """Return every method, built for the workload."""
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
