"""Cost of the guard: `evaluate_actions` with it and without, and the guard around nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console

from benchmarks.speed import workload as w
from benchmarks.speed.timing import median_times, show_times
from tamiyo_rl import EpisodePlan, EvalResult, LSTMPolicyBundle, guard_training_inputs

Evaluate = Callable[..., EvalResult]
unguarded: Evaluate = LSTMPolicyBundle.evaluate_actions.__wrapped__  # type: ignore[attr-defined]  # set by functools.wraps


def run(rounds: int, console: Console) -> dict[str, Any]:
    """Time one call by each method."""
    methods = make_guarded_and_unguarded() | {"guard around nothing": guard_nothing()}
    seconds = median_times(methods, rounds=20 * rounds)
    show_times(console, "evaluate_actions, 16 x 128", seconds)
    return {"cases": [{"seconds": seconds}]}


def make_guarded_and_unguarded() -> dict[str, Callable[[], object]]:
    """Return the same call on the same bundle; guarded twice, to show the noise."""
    bundle = LSTMPolicyBundle(w.FEATURES, w.ACTIONS, hidden_dim=w.HIDDEN)
    work = w.make_workload(rows=16, reset_rate=0.02)
    actions = {"action": work.actions}
    plan = EpisodePlan(work.starts)
    hidden = bundle.initial_hidden(work.batch).clone()

    def call(method: Evaluate) -> EvalResult:
        return method(bundle, work.features, actions, hidden=hidden, episode_starts=plan)

    return {
        "unguarded": lambda: call(unguarded),
        "guarded": lambda: call(LSTMPolicyBundle.evaluate_actions),
        "guarded again": lambda: call(LSTMPolicyBundle.evaluate_actions),
    }


def guard_nothing() -> Callable[[], object]:
    """Return the guard around nothing: its whole cost, without the noise of an LSTM."""
    bundle = LSTMPolicyBundle(w.FEATURES, w.ACTIONS, hidden_dim=w.HIDDEN)
    work = w.make_workload(rows=16, reset_rate=0.02)
    actions = {"action": work.actions}
    hidden = bundle.initial_hidden(work.batch).clone()
    output = torch.zeros(1, requires_grad=True)

    @guard_training_inputs
    def nothing(
        policy: object, features: object, actions: object, masks: object, hidden: object
    ) -> torch.Tensor:
        return output

    return lambda: nothing(bundle, work.features, actions, None, hidden)
