"""A learned initial state: where PyTorch is silent just when a gradient is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from tamiyo_rl.crossings.catalogue import crossing, plain
from tamiyo_rl.crossings.lab import BATCH, Lab, State

Terms = Mapping[str, torch.Tensor]
silent = crossing("silently wrong", "misuse", "audit", "backward", learned=True)


def _with(lab: Lab, change: Callable[[torch.Tensor], torch.Tensor]) -> Terms:
    h, c = (change(part) for part in lab.policy.initial_state())
    return lab.terms(lab.evaluate(state=(h, c)))


def _stored(lab: Lab) -> State:
    _, _, _, (h, c) = lab.policy.act(lab.features[:, 0], lab.policy.initial_state())
    return h.clone(), c.clone()


def _truncated(lab: Lab) -> Terms:
    with torch.no_grad():
        _, _, (h, c) = lab.policy(lab.features[:, :1], lab.policy.start(BATCH))
    return _segment(lab, (h, c))


def _segment(lab: Lab, state: State) -> Terms:
    lab.untouched = ("h0", "c0")
    lab.old = lab.old._replace(log_prob=lab.old.log_prob[:, 1:])
    lab.advantages = lab.advantages[:, 1:]
    lab.returns = lab.returns[:, 1:]
    return lab.terms(lab.evaluate(lab.features[:, 1:], lab.actions[:, 1:], state))


@crossing("fine", "correct", learned=True)
def none(lab: Lab) -> Terms:
    """No state: the training call builds it with grad."""
    return plain(lab)


@silent
def expand_inside(lab: Lab) -> Terms:
    """`Parameter.expand()` inside inference mode, as it is: no inference tensor, and no graph."""
    return _with(lab, lambda part: part)


@silent
def expand_inside_clone(lab: Lab) -> Terms:
    """`Parameter.expand()` inside, `.clone()` outside, as the error text advises."""
    return _with(lab, torch.clone)


@silent
def repeat_inside_clone(lab: Lab) -> Terms:
    """`Parameter.repeat()` inside, `.clone()` outside."""
    with torch.inference_mode():
        h, c = (part.repeat(1, BATCH, 1) for part in (lab.policy.h0, lab.policy.c0))
    return lab.terms(lab.evaluate(state=(h.clone(), c.clone())))


@silent
def expand_inside_masked(lab: Lab) -> Terms:
    """`Parameter.expand()` inside, `* (1 - done)` outside."""
    return _with(lab, lambda part: part * torch.ones(BATCH, 1))


@silent
def expand_inside_requires_grad(lab: Lab) -> Terms:
    """`Parameter.expand()` inside, `.detach().requires_grad_()` outside."""
    return _with(lab, lambda part: part.detach().clone().requires_grad_())


@silent
def expand_under_no_grad(lab: Lab) -> Terms:
    """`Parameter.expand()` under `no_grad`."""
    with torch.no_grad():
        state = lab.policy.start(BATCH)
    return lab.terms(lab.evaluate(state=state))


@crossing("raises in forward", "misuse", "guard", "trace", learned=True)
def expand_inside_contiguous(lab: Lab) -> Terms:
    """`.expand().contiguous()` inside: an inference tensor."""
    with torch.inference_mode():
        h, c = (part.contiguous() for part in lab.policy.start(BATCH))
    return lab.terms(lab.evaluate(state=(h, c)))


@crossing("fine", "correct", learned=True, reference=_truncated)
def stored_mid_episode(lab: Lab) -> Terms:
    """A segment that goes on from a stored state: truncated backpropagation through time."""
    return _segment(lab, _stored(lab))


@crossing("fine", "correct", learned=True)
def allocated_outside(lab: Lab) -> Terms:
    """`initial_hidden()` leaves inference mode to expand, and keeps the graph."""
    with torch.inference_mode(), torch.inference_mode(mode=False), torch.enable_grad():
        state = lab.policy.start(BATCH)
    return lab.terms(lab.evaluate(state=state))


def _first_row(lab: Lab, state: State | None) -> Terms:
    lab.old = lab.old._replace(log_prob=lab.old.log_prob[:1])
    lab.advantages = lab.advantages[:1]
    lab.returns = lab.returns[:1]
    return lab.terms(lab.evaluate(lab.features[:1], lab.actions[:1], state))


def _first_row_none(lab: Lab) -> Terms:
    return _first_row(lab, None)


@crossing("silently wrong", "misuse", "audit", "backward", learned=True, reference=_first_row_none)
def expand_inside_contiguous_one_row(lab: Lab) -> Terms:
    """`.expand().contiguous()` of one row: nothing is copied, so it stays an ordinary view."""
    with torch.inference_mode():
        h, c = (part.contiguous() for part in lab.policy.start(1))
    return _first_row(lab, (h, c))


@crossing("fine", "correct", learned=True, reference=_first_row_none)
def parameter_itself(lab: Lab) -> Terms:
    """`initial_hidden()` returns the parameters themselves."""
    with torch.inference_mode():
        state = lab.policy.h0, lab.policy.c0
    return _first_row(lab, state)


def _written(part: torch.Tensor) -> torch.Tensor:
    part[:, 0] = 0.0
    return part


@crossing(
    "raises on the way",
    "misuse",
    learned=True,
    instead="C5: where an episode starts, training builds the state",
)
def expand_inside_written(lab: Lab) -> Terms:
    """`Parameter.expand()` inside, reset by assignment outside: its memory is shared."""
    return _with(lab, _written)
