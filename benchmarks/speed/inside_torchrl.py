"""An update of TorchRL with its own `LSTMModule` and with ours."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from benchmarks.speed import workload as w
from benchmarks.speed.timing import median_times, show_times
from benchmarks.speed.update.torchrl import BACKENDS, TorchRL
from tamiyo_rl.integrations.torchrl import LSTMModule

RESET_RATES = (0.02, 0.1)


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time a whole PPO update of TorchRL with each module."""
    cases = []
    for rows in w.ROWS:
        for rate in RESET_RATES:
            workload = w.make_workload(rows=rows, reset_rate=rate)
            methods = {"LSTMModule of tamiyo-rl": TorchRL(workload, kind=LSTMModule)} | {
                f"LSTMModule of TorchRL, {name}": TorchRL(workload, name) for name in BACKENDS
            }
            seconds = median_times(methods, rounds=rounds)
            cases.append({"rows": rows, "reset rate": rate, "seconds": seconds})
            show_times(console, f"{rows} rows, {rate:.0%} resets", seconds)
    return {"cases": cases}
