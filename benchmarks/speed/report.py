"""The page of the site: the answer, a figure, and the tables of every suite on record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed.figures import RATE, ROWS, update_times
from benchmarks.speed.tables import make_outcomes, make_table, make_tables, median_of_solved

METHOD = """\
All methods of a table run alternately in one process, each timed call right after an untimed call
of its own; the figures are medians. Times depend on the machine, so read the ratio, which stands in
brackets: the time divided by that of the first method of the column. `make bench` runs all of it
and writes this page; `python -m benchmarks guard` runs one suite. *Load* is that of the machine
when the suite began: on a busy machine, methods of many small calls lose more than others.

PyTorch has one thread unless a heading says otherwise. With two threads and
`OMP_WAIT_POLICY=PASSIVE`, waking the second thread takes longer than a step of a small LSTM: fewer,
wider steps then gain more than they cost to compute.
"""

MEANING = {
    "update": "A whole PPO update: 16 rows of 128 steps, 32 features, hidden size 128, 4 actions, "
    "4 epochs, in minibatches of 4 or 16 rows. *tamiyo-rl* is `LSTMPolicyBundle` in a loop written "
    "for it; *its trainer* is the update of `RecurrentPPO`, from the buffer and with its "
    "diagnostics; *network alone* has no guard and no checks. *raw nn.LSTM* ignores resets: no "
    "method that keeps the rows whole can be faster. *sb3-contrib, loop removed* is sb3-contrib "
    "with its loop over time replaced by one call. sb3-contrib trains its shared LSTM only by the "
    "policy's loss. Importing TorchRL turns the validation of `torch.distributions` off, from "
    "which sb3-contrib gains.",
    "parts": "A forward and backward pass on one minibatch; each row adds a part to the row above. "
    "*One more feature* is the column that marks separators, *in the shape of the lanes* adds the "
    "separators and the padding of the lanes, both still by `nn.LSTM`. *With heads* adds the two "
    "linear heads, *checked* the checks of the arguments, the log-probabilities and the entropy.",
    "gru": "Processor time of a forward and backward pass of only the recurrent layer, over 4 or "
    "16 rows of 128 steps. *raw nn.GRU* ignores resets. PyTorch's GRU for the CPU spends as much "
    "on a step as on about sixteen rows, so that fewer steps with more lanes take less time than "
    "the rows as they are.",
    "inside_sb3": "`train()` and the whole of `learn()` of sb3-contrib's `RecurrentPPO`, and of "
    "ours from `tamiyo_rl.integrations.sb3_contrib`, in the first eight updates of a training on "
    "CartPole without velocities in eight environments: with the default settings, and with those "
    "that RL Baselines3 Zoo tuned for `CartPoleNoVel-v1`.",
    "inside_torchrl": "The same update by TorchRL's `ClipPPOLoss`, with `LSTMModule` from "
    "`tamiyo_rl.integrations.torchrl` and with TorchRL's own, by each of its backends for the CPU.",
    "rollout": "Collecting 128 steps of 16 environments that cost almost nothing. *tamiyo-rl* and "
    "*raw nn.LSTM step* act and step; *stored* also fills a `RolloutBuffer` and computes "
    "advantages, as sb3-contrib does; TorchRL stores five entries a step.",
    "collection": "The default training of `tamiyo-rl train` (CartPole without velocities, hidden "
    "size 64) in processor time of one process (`time.process_time`). The table shows one "
    "collected step of all environments: *tamiyo-rl* acts, steps, normalises and stores, with its "
    "share of the last value and of the advantages; *bare nn.LSTMCell* is the environment's own "
    "step with one cell, two linear heads, softmax, sample and log-probability, without resets, "
    "checks, normalisation or storage.",
    "end_to_end": "Training until the last twenty episodes return 475 of 500 (CartPole without "
    "velocities) or 0.95 of 1 (a cue recalled after sixteen steps); hidden size 64, medians over "
    "the seeds that solved, each method trained once a seed. sb3-contrib has the settings that RL "
    "Baselines3 Zoo tuned for `CartPoleNoVel-v1`, eight environments among them, on both tasks. "
    "tamiyo-rl has settings for each task, chosen among some twenty on other seeds: 32 "
    "environments on CartPole, 16 on recall. With its defaults it solves CartPole too, in more "
    "steps. *Processor* is the processor time of the process.",
    "guard": "`evaluate_actions` with its guard and without. *Guarded again* is the same as "
    "*guarded*, so their difference is noise.",
    "watch": "Training steps of an LSTM of 64 units, 16 rows of 64 steps, without "
    "`watch_training` and inside it. The watch looks at the terms of the loss in the first four "
    "steps. *Unwatched again* is the same as *unwatched*, so their difference is noise.",
    "compile": "`evaluate_actions` with its backward pass on 16 rows of 128 steps, and "
    "`get_action` on 16 rows, both with an encoder of two layers of 128, the part that is "
    "compiled.",
    "scaling": "A forward and backward pass of only the LSTM, 2 % resets; the base is time 128, "
    "batch 16 and hidden size 128. Memory is how far one pass raises the peak of a fresh process.",
}


def write_page(results: Mapping[str, Any], path: Path) -> None:
    """Write the answer, and the tables of every suite that has a record."""
    parts = ["# Benchmarks\n", *_answer(results), "## How it was measured\n", METHOD]
    for name, meaning in MEANING.items():
        for key in (key for key in results if key.split(",")[0] == name):
            parts.append(f"## {key.replace('_', ' ').capitalize()}\n")
            parts.append(meaning + "\n" if key == name else "The same with more threads.\n")
            parts += [*_tables(name, results[key]), _run(results[key]["environment"])]
    path.write_text("\n".join(parts), "utf-8")


def _answer(results: Mapping[str, Any]) -> Iterator[str]:
    cases = [case for case in results["update"]["cases"] if case["rows"] == ROWS]
    times = {name: f"{time:.0f} ms" for name, time in update_times(cases).items()}
    yield (
        f"- **Training**: a PPO update with {100 * RATE:g} % resets takes {times['tamiyo-rl']}, "
        f"with TorchRL {times['TorchRL (pad, eager)']}, with sb3-contrib {times['sb3-contrib']}."
    )
    yield f"- **End to end**: {_solved(results['end_to_end']['cases'])}."
    yield f"- **Collection**: {_collected(results['collection']['cases'])}.\n"
    alt = "Bars on a logarithmic scale: " + ", ".join(f"{n} {time}" for n, time in times.items())
    for scheme in ("light", "dark"):
        yield f"![{alt}.](../assets/benchmarks/update-{scheme}.svg#only-{scheme})"
    yield (
        f"\nOne PPO update in minibatches of {ROWS} rows of 128 steps, one CPU thread, on a "
        "logarithmic scale. *raw nn.LSTM* ignores the resets: it is a limit, not a correct "
        "method.\n"
    )


def _solved(cases: list[Mapping[str, Any]]) -> str:
    task = cases[0]["task"]
    ours, peer = (
        median_of_solved(
            [c for c in cases if (c["task"], c["method"]) == (task, method)], "processor_seconds"
        )
        for method in ("tamiyo-rl", "sb3-contrib")
    )
    return f"{task} is solved in {ours:.0f} s of processor time, with sb3-contrib in {peer:.0f} s"


def _collected(cases: list[Mapping[str, Any]]) -> str:
    few, many = cases
    return (
        f"a step of {few['environments']} environments takes {few['ratio']:.1f} times the bare "
        f"calls, of {many['environments']} environments {many['ratio']:.1f} times"
    )


def _tables(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    if name == "end_to_end":
        yield from make_outcomes(result["cases"])
    elif name == "collection":
        yield from _collection(result)
    else:
        yield from make_tables(result["cases"])


def _collection(result: Mapping[str, Any]) -> Iterator[str]:
    cases = result["cases"]
    rows = [
        [method, *(f"{1e6 * c['seconds'][method]:.0f}" for c in cases)]
        for method in cases[0]["seconds"]
    ]
    rows.append(["tamiyo-rl / bare", *(f"**{case['ratio']:.1f}**" for case in cases)])
    header = ["one step, µs", *(f"{case['environments']} environments" for case in cases)]
    yield from make_table(header, rows)
    training = result["training"]
    shares = [
        f"{100 * guard['share']:.1f} % on {name} ({1e6 * guard['guard seconds']:.0f} µs of "
        f"{1e3 * guard['seconds']:.2f} ms)"
        for name, guard in result["guard"].items()
    ]
    yield (
        "The share of the guard's own calls, timed where they run, in `evaluate_actions` with its "
        f"backward pass: {', '.join(shares)}.\n"
    )
    yield (
        f"The whole default training, collection and updates, makes "
        f"**{training['steps per second']:,.0f} steps a processor second** "
        f"({training['steps']:,} steps in {training['seconds']:.0f} s)."
    )


def _run(run: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    processor = " ".join(run[key] for key in ("processor", "capability") if key in run)
    return (
        f"\nRun on {run['date']} with {versions}, Python {run['python']}, {processor}, "
        f"threads: {run['threads']}, load {run['load before']}.\n"
    )
