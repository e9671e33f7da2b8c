"""The page of the site, from the record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.changed import changed_settings
from benchmarks.popgym.settings import CONFIG, ENVIRONMENTS, HIDDEN, SEEDS, TASKS

RECORD = Path("benchmarks/popgym/record.json")
PAGE = Path("docs/reference/popgym.md")

# MMER over 15 million steps and three trials, appendix B, table 3 of the paper, as transcribed in
# github.com/bryjudy/fly-critic, flycritic/popgym/results.py, which has the GRU and the best model.
PUBLISHED = {
    "RepeatPreviousEasy": {"GRU": "1.000"},
    "PositionOnlyCartPoleEasy": {"GRU": "1.000"},
    "CountRecallEasy": {"GRU": "0.177", "LSTM": "0.509"},
}

TEXT = """\
# POPGym

[POPGym](https://github.com/proroklab/popgym) (Morad et al. 2023,
[arXiv:2303.01859](https://arxiv.org/abs/2303.01859)) is an independent benchmark for memory.
`make popgym` trains on three of its tasks, each with {seeds} seeds, for {steps} environment steps.
The table gives the mean over the seeds, and in brackets the lowest and the highest of them. The
record is of policies whose forget gates began without the 1 that is added to their bias now.

| task | final | highest | most probable actions | paper, LSTM | paper, GRU |
|---|---|---|---|---|---|
{rows}

- *Final* is the mean episodic return of the last 100 training episodes, with sampled actions.
  *Highest* is the highest value of this mean after any update. It is closest to the paper's MMER,
  the highest mean episodic return of a training. *Most probable actions* is the mean return of 100
  episodes after the training.
- **The two settings differ.** The paper trains for 15 million steps, with RLlib's PPO, a memory of
  256 units and networks of two layers around it; here it is {steps} steps and an LSTM of {hidden}
  units with linear heads. `CountRecallEasy` is far from the paper's figure here; whether more
  steps close the gap was not tried.
- Three tries on the first seed of `RepeatPreviousEasy` chose the settings, so that run is not
  independent.
- The figures of the paper are MMER, the mean of three trials (appendix B, table 3). They come from
  a transcription ([bryjudy/fly-critic](https://github.com/bryjudy/fly-critic), file
  `flycritic/popgym/results.py`) and were not compared with the paper itself. It has the GRU for
  each task, and the LSTM only where the LSTM is the best; the others are marked *not found*. The
  paper calls `PositionOnlyCartPole` by its earlier name, `StatelessCartPole`.

The tasks are wrapped as in the paper: the policy also sees its last action and whether an episode
begins. {environments} environments, {settings}, else the defaults of `PPOConfig`; all runs together
took {minutes} minutes of one thread, with {versions}.
"""


def write_page(record: Mapping[str, Any], path: Path = PAGE) -> None:
    """Write the page."""
    runs = record["runs"]
    machine = record["environment"]
    versions = {"python": machine["python"], "machine": machine["processor"], **machine["versions"]}
    text = TEXT.format(
        rows="\n".join(make_row(task, runs) for task in TASKS),
        steps=f"{min(run['steps'] for run in runs):,}",
        seeds=len(SEEDS),
        environments=ENVIRONMENTS,
        hidden=HIDDEN,
        settings=changed_settings(CONFIG),
        minutes=f"{sum(run['cpu_seconds'] for run in runs) / 60:.0f}",
        versions=", ".join(f"{name} {number}" for name, number in versions.items()),
    )
    path.write_text(text, "utf-8")


def make_row(task: str, runs: list[Mapping[str, Any]]) -> str:
    """Return the line of a task."""
    cells = [task]
    for figure in ("final", "highest", "evaluation"):
        values = [run[figure] for run in runs if run["task"] == task]
        cells.append(f"{fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
    cells += [PUBLISHED[task].get(model, "not found") for model in ("LSTM", "GRU")]
    return "| " + " | ".join(cells) + " |"
