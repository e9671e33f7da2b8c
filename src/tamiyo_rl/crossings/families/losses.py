"""A loss built from the wrong source."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tamiyo_rl.crossings.catalogue import crossing, plain
from tamiyo_rl.crossings.lab import Evaluation, Lab, evaluation

Terms = Mapping[str, torch.Tensor]


@torch.inference_mode()
def _rollout(lab: Lab) -> Evaluation:
    return Evaluation(*lab.policy.evaluate(lab.features, lab.actions))


def _policy(lab: Lab, log_prob: torch.Tensor) -> torch.Tensor:
    return -((log_prob - lab.old.log_prob).exp() * lab.advantages.clone()).mean()


def _with_penalty(lab: Lab) -> Terms:
    new = lab.evaluate()
    return lab.terms(new, kl=0.1 * new.log_prob.square().mean())


def _with_auxiliary(lab: Lab) -> Terms:
    latents = lab.policy.encoder(lab.features).tanh()
    return lab.terms(lab.evaluate(), auxiliary=latents.square().mean())


@crossing("silently wrong", "misuse", "audit")
def policy_from_get_action(lab: Lab) -> Terms:
    """The policy loss from the rollout's log-probabilities; the entropy term hides it."""
    stored = _rollout(lab)
    return lab.terms(lab.evaluate(), policy=_policy(lab, stored.log_prob))


@crossing("silently wrong", "misuse", "audit")
def policy_from_get_action_without_entropy(lab: Lab) -> Terms:
    """The policy loss from the rollout's log-probabilities, beside a value loss."""
    stored = _rollout(lab)
    terms = dict(lab.terms(lab.evaluate()))
    terms["policy"] = _policy(lab, stored.log_prob)
    del terms["entropy"]
    return terms


@crossing("silently wrong", "misuse", "audit")
def value_from_get_value(lab: Lab) -> Terms:
    """The value loss from the rollout's values."""
    value = (_rollout(lab).value - lab.returns).square().mean()
    return lab.terms(lab.evaluate(), value=value)


@crossing("silently wrong", "misuse", "audit")
def entropy_from_rollout(lab: Lab) -> Terms:
    """The entropy bonus from the rollout's distribution."""
    return lab.terms(lab.evaluate(), entropy=-0.1 * _rollout(lab).entropy.mean())


@crossing("raises in backward", "misuse", "audit")
def all_from_get_action(lab: Lab) -> Terms:
    """The whole loss from the rollout."""
    return lab.terms(_rollout(lab))


@crossing("raises on the way", "misuse", "trace")
def product_with_rollout(lab: Lab) -> Terms:
    """The rollout's log-probabilities times values with a gradient."""
    stored = _rollout(lab)
    return {"policy": (stored.log_prob * lab.evaluate().value).mean()}


@crossing("silently wrong", "misuse", "ratio")
def swapped_ratio(lab: Lab) -> Terms:
    """New and old change places in the ratio: the sign of its gradient turns."""
    new = lab.evaluate()
    terms = lab.terms(new)
    lab.ratio = (lab.old.log_prob - new.log_prob).exp()
    return terms | {"policy": -(lab.ratio * lab.advantages).mean()}


@crossing("silently wrong", "misuse", "audit", "backward")
def cached_latents(lab: Lab) -> Terms:
    """Training starts at the core, from what the encoder gave in the rollout."""
    with torch.inference_mode():
        latents = lab.policy.encoder(lab.features).tanh()
    log_probs, value, _ = lab.policy.decide(latents.clone(), lab.policy.start(len(latents)))
    return lab.terms(evaluation(log_probs, value, lab.actions))


@crossing("silently wrong", "misuse", "audit", reference=_with_auxiliary)
def activation_from_hook(lab: Lab) -> Terms:
    """An auxiliary loss on an activation that a hook caught in the rollout."""
    with torch.inference_mode():
        latents = lab.policy.encoder(lab.features).tanh()
    return lab.terms(lab.evaluate(), auxiliary=latents.square().mean())


@crossing("silently wrong", "misuse", "audit", reference=_with_penalty)
def penalty_from_inference_helper(lab: Lab) -> Terms:
    """A divergence from a helper under inference mode, added to the loss."""
    new = lab.evaluate()
    with torch.inference_mode():
        kl = 0.1 * new.log_prob.square().mean()
    return lab.terms(new, kl=kl)


@crossing("raises on the way", "misuse", "trace")
def coefficient_from_rollout(lab: Lab) -> Terms:
    """A coefficient made in the rollout, times the loss."""
    coefficient = lab.rollout(torch.tensor(0.5))
    return {name: term * coefficient for name, term in lab.terms(lab.evaluate()).items()}


@crossing("silently wrong", "misuse", "ratio")
def dropout_in_rollout(lab: Lab) -> Terms:
    """Dropout on in the rollout and in training: two masks, and a ratio that is not 1."""
    lab.policy.encoder = torch.nn.Sequential(lab.policy.encoder, torch.nn.Dropout(0.5))
    lab.old = _rollout(lab)
    return lab.terms(lab.evaluate())


@crossing("raises in backward", "misuse", "audit")
def evaluate_under_inference_mode(lab: Lab) -> Terms:
    """The training call has the rollout's decorator by mistake."""
    with torch.inference_mode():
        new = lab.evaluate()
    return lab.terms(new)


@crossing("fine", "correct")
def right(lab: Lab) -> Terms:
    """The loss as it should be."""
    return plain(lab)
