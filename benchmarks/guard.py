"""What the guard costs: `evaluate_actions` with it and without."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.workload import ACTIONS, FEATURES, HIDDEN, make_workload
from tamiyo_rl import EpisodePlan, HiddenState, LSTMPolicyBundle, guard_training_inputs
from tamiyo_rl.policy.protocol import EvalResult

Evaluate = Callable[..., EvalResult]
unguarded: Evaluate = LSTMPolicyBundle.evaluate_actions.__wrapped__  # type: ignore[attr-defined]  # set by functools.wraps


def make_guarded_and_unguarded() -> dict[str, Callable[[], object]]:
    """Return the same call on the same bundle, twice guarded: what differs is the measurement."""
    bundle = LSTMPolicyBundle(FEATURES, ACTIONS, hidden_dim=HIDDEN)
    work = make_workload(rows=16, reset_rate=0.02)
    actions, plan = {"action": work.actions}, EpisodePlan(work.starts)
    hidden = HiddenState(*(part.clone() for part in bundle.initial_hidden(work.batch)))

    def call(method: Evaluate) -> EvalResult:
        return method(bundle, work.features, actions, hidden=hidden, episode_starts=plan)

    return {
        "guarded": lambda: call(LSTMPolicyBundle.evaluate_actions),
        "unguarded": lambda: call(unguarded),
        "guarded again": lambda: call(LSTMPolicyBundle.evaluate_actions),
    }


def guard_alone() -> Callable[[], object]:
    """Return the guard around nothing: its whole cost, without the noise of an LSTM."""
    bundle = LSTMPolicyBundle(FEATURES, ACTIONS, hidden_dim=HIDDEN)
    work = make_workload(rows=16, reset_rate=0.02)
    hidden, actions = bundle.initial_hidden(work.batch).clone(), {"action": work.actions}
    output = torch.zeros(1, requires_grad=True)

    @guard_training_inputs
    def nothing(
        policy: object, features: object, actions: object, masks: object, hidden: object
    ) -> torch.Tensor:
        return output

    return lambda: nothing(bundle, work.features, actions, None, hidden)
