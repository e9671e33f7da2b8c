"""The other arguments of the training call, and the ingredients of its loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tamiyo_rl.crossings.catalogue import crossing
from tamiyo_rl.crossings.lab import ACTIONS, Lab

Terms = Mapping[str, torch.Tensor]


def _all_valid(lab: Lab) -> torch.Tensor:
    return torch.ones((*lab.actions.shape, ACTIONS), dtype=torch.bool)


def _masked(lab: Lab) -> Terms:
    return lab.terms(lab.evaluate(masks=_all_valid(lab)))


@crossing("raises in forward", "misuse", "guard", "trace")
def features(lab: Lab) -> Terms:
    """Features as the rollout made them: a linear layer saves them."""
    return lab.terms(lab.evaluate(lab.rollout(lab.features)))


@crossing("fine", "correct")
def features_viewed_inside(lab: Lab) -> Terms:
    """A view, made inside inference mode, of ordinary features."""
    with torch.inference_mode():
        view = lab.features[:]
    return lab.terms(lab.evaluate(view))


@crossing("raises in forward", "misuse", "guard", "trace")
def actions(lab: Lab) -> Terms:
    """Actions as the rollout made them: `gather` saves its index."""
    return lab.terms(lab.evaluate(actions=lab.rollout(lab.actions)))


@crossing("fine", "breach", "guard", reference=_masked)
def masks_inverted(lab: Lab) -> Terms:
    """A mask as the rollout made it, which is only inverted."""
    return lab.terms(lab.evaluate(masks=lab.rollout(_all_valid(lab))))


@crossing("fine", "correct")
def old_log_prob(lab: Lab) -> Terms:
    """The old log-probability as the rollout made it: subtraction saves nothing."""
    lab.old = lab.old._replace(log_prob=lab.rollout(lab.old.log_prob))
    return lab.terms(lab.evaluate())


@crossing("raises on the way", "misuse", "trace")
def advantages(lab: Lab) -> Terms:
    """Advantages as the rollout made them: the product saves them."""
    lab.advantages = lab.rollout(lab.advantages)
    return lab.terms(lab.evaluate())


@crossing("fine", "correct")
def returns(lab: Lab) -> Terms:
    """Returns as the rollout made them: the difference saves nothing."""
    lab.returns = lab.rollout(lab.returns)
    return lab.terms(lab.evaluate())


@crossing("fine", "correct")
def store_made_inside(lab: Lab) -> Terms:
    """A store made inside inference mode, indexed by a boolean outside."""
    store = lab.rollout(lab.features)
    return lab.terms(lab.evaluate(store[torch.ones(len(store), dtype=torch.bool)]))
