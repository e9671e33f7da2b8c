"""The other arguments of the training call, and the ingredients of its loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tamiyo_rl.crossings.catalogue import crossing
from tamiyo_rl.crossings.lab import ACTIONS, Lab, evaluation

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


def _decided(lab: Lab, masks: torch.Tensor, *, added: bool) -> Terms:
    log_probs, value, _ = lab.policy(lab.features, lab.policy.start(len(lab.features)))
    bias = torch.where(masks, 0.0, -1e9)
    masked = log_probs + bias if added else torch.where(masks, log_probs, -1e9)
    return lab.terms(evaluation(masked, value, lab.actions))


def _mask_added(lab: Lab) -> Terms:
    return _decided(lab, _all_valid(lab), added=True)


@crossing("raises on the way", "misuse", "trace")
def masks_as_condition(lab: Lab) -> Terms:
    """A mask as the rollout made it, as the condition of `where`: it is saved."""
    return _decided(lab, lab.rollout(_all_valid(lab)), added=False)


@crossing("fine", "correct", reference=_mask_added)
def masks_added(lab: Lab) -> Terms:
    """A mask as the rollout made it, turned into a bias that is added outside."""
    return _decided(lab, lab.rollout(_all_valid(lab)), added=True)


@crossing("fine", "correct")
def value_clipping(lab: Lab) -> Terms:
    """`v_old + clamp(v - v_old)` with the rollout's values."""
    lab.old = lab.old._replace(value=lab.rollout(lab.old.value))
    new = lab.evaluate()
    clipped = lab.old.value + (new.value - lab.old.value).clamp(-1.0, 1.0)
    return lab.terms(new._replace(value=clipped))


@crossing("raises on the way", "misuse", "trace")
def advantages_sliced(lab: Lab) -> Terms:
    """A slice of advantages that were made in the rollout: a view keeps the flag."""
    lab.advantages = lab.rollout(lab.advantages)[:, :]
    return lab.terms(lab.evaluate())


@crossing("fine", "correct")
def advantages_negated(lab: Lab) -> Terms:
    """The same, negated outside before the product: negation copies."""
    new = lab.evaluate()
    advantages = lab.rollout(lab.advantages)
    terms = dict(lab.terms(new))
    ratio = (new.log_prob - lab.old.log_prob).exp()
    return terms | {"policy": (-advantages.squeeze() * ratio).mean()}


@crossing("raises on the way", "misuse", "trace")
def mse_target(lab: Lab) -> Terms:
    """The rollout's returns as the target of `mse_loss`, which saves it."""
    new = lab.evaluate()
    value = torch.nn.functional.mse_loss(new.value, lab.rollout(lab.returns))
    return lab.terms(new, value=value)
