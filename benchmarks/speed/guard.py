"""Cost of the guard: `evaluate_actions` with it and without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console

from benchmarks.speed import workload as w
from benchmarks.speed.timing import median_times, show_times
from tamiyo_rl import EpisodePlan, EvalResult, LSTMPolicyBundle

Evaluate = Callable[..., EvalResult]
Minibatch = tuple[tuple[Any, ...], EpisodePlan]
unguarded: Evaluate = LSTMPolicyBundle.evaluate_actions.__wrapped__  # type: ignore[attr-defined]  # set by functools.wraps


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time one call by each method."""
    seconds = median_times(make_guarded_and_unguarded(), rounds=20 * rounds)
    show_times(console, "evaluate_actions, 16 x 128", seconds)
    return {"cases": [{"seconds": seconds}]}


def make_guarded_and_unguarded() -> dict[str, Callable[[], object]]:
    """Return the same call on the same bundle; guarded twice, to show the noise."""
    arguments, plan = make_guarded_minibatch()
    guarded = LSTMPolicyBundle.evaluate_actions
    return {
        "unguarded": lambda: unguarded(*arguments, episode_starts=plan),
        "guarded": lambda: guarded(*arguments, episode_starts=plan),
        "guarded again": lambda: guarded(*arguments, episode_starts=plan),
    }


def make_guarded_minibatch() -> Minibatch:
    """Return what `evaluate_actions` is called with: the bundle first, and the plan."""
    bundle = LSTMPolicyBundle(w.FEATURES, w.ACTIONS, hidden_dim=w.HIDDEN)
    work = w.make_workload(rows=16, reset_rate=0.02)
    hidden = bundle.initial_hidden(work.batch).clone()
    arguments = (bundle, work.features, {"action": work.actions}, None, hidden)
    return arguments, EpisodePlan(work.starts)
