"""Autocast, activation checkpointing and second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from tamiyo_rl.crossings.catalogue import Elsewhere, Run, crossing, enter, plain
from tamiyo_rl.crossings.lab import BATCH, Evaluation, Lab, State, evaluation
from tamiyo_rl.crossings.machine import onednn_has_bfloat16

Terms = Mapping[str, torch.Tensor]

WITHOUT_BFLOAT16 = Elsewhere(
    "where oneDNN has no bfloat16",
    "PyTorch's own kernel runs there and saves the cell state itself; oneDNN's saves a cast of it.",
    lambda device: device == "cpu" and not onednn_has_bfloat16(),
    "raises in forward",
    "misuse",
    frozenset({"guard", "trace"}),
)
CASTS_SHARED = Elsewhere(
    "before PyTorch 2.11",
    "Autocast keeps the casts of weights that a rollout made, and training gets them, without a "
    "graph.",
    lambda _: torch.__version__ < "2.11",
    "raises in backward",
    "misuse",
    frozenset({"guard"}),
)


def _autocast(lab: Lab, state: State | None) -> Terms:
    with torch.autocast(lab.features.device.type, dtype=torch.bfloat16):
        new = lab.evaluate(state=state)
    lab.old = Evaluation(*(part.detach().clone() for part in new))
    return lab.terms(new)


def _autocast_none(lab: Lab) -> Terms:
    return _autocast(lab, None)


def _penalty(lab: Lab) -> Terms:
    lab.features.requires_grad_()
    terms = dict(plain(lab))
    (slope,) = torch.autograd.grad(terms["value"], lab.features, create_graph=True)
    terms["penalty"] = slope.square().sum()
    return terms


@crossing("fine", "breach", "guard", reference=_autocast_none, elsewhere=WITHOUT_BFLOAT16)
def autocast_raw(lab: Lab) -> Terms:
    """The rollout's state under autocast to bfloat16: the cast makes a copy."""
    return _autocast(lab, lab.policy.initial_state())


@crossing("fine", "correct", reference=_autocast_none)
def autocast_none(lab: Lab) -> Terms:
    """Autocast to bfloat16 with no state given."""
    return _autocast_none(lab)


@crossing("fine", "correct")
def checkpoint_clone(lab: Lab) -> Terms:
    """Checkpointing without reentry, with a cloned state."""
    h, c = (part.clone() for part in lab.policy.initial_state())
    return lab.terms(checkpoint(lambda: lab.evaluate(state=(h, c)), use_reentrant=False))


@crossing("raises in forward", "misuse", "guard", "trace")
def checkpoint_raw(lab: Lab) -> Terms:
    """Checkpointing without reentry, with the rollout's state."""
    state = lab.policy.initial_state()
    return lab.terms(checkpoint(lambda: lab.evaluate(state=state), use_reentrant=False))


@crossing("fine", "correct")
def checkpoint_reentrant_core(lab: Lab) -> Terms:
    """Reentrant checkpointing around the core, with a cloned state."""
    core = lab.policy.core.forward

    def recomputed(latents: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        h, c = (part.clone() for part in state)
        outputs = checkpoint(lambda x: core(x, (h, c))[0], latents, use_reentrant=True)
        return outputs, (h, c)

    lab.policy.core.forward = recomputed
    return plain(lab)


@crossing("fine", "correct", core="hand", reference=_penalty)
def double_backward(lab: Lab) -> Terms:
    """A gradient penalty, which is differentiated twice."""
    return _penalty(lab)


@crossing("silently wrong", "misuse", "audit", core="hand", reference=_penalty)
def penalty_inside(lab: Lab) -> Terms:
    """The gradient of a penalty is taken under inference mode: `create_graph` is lost."""
    lab.features.requires_grad_()
    terms = dict(plain(lab))
    with torch.inference_mode():
        (slope,) = torch.autograd.grad(terms["value"], lab.features, create_graph=True)
    terms["penalty"] = slope.square().sum()
    return terms


@crossing("raises in forward", "misuse", "guard", "trace", core="hand")
def double_backward_raw(lab: Lab) -> Terms:
    """A gradient penalty with the rollout's state."""
    return lab.terms(lab.evaluate(state=lab.policy.initial_state(BATCH)))


@crossing("fine", "correct", core="hand", reference=_autocast_none, elsewhere=CASTS_SHARED)
def autocast_spans_rollout(lab: Lab) -> Terms:
    """One autocast region around rollout and training: the cache of casts is not shared."""
    with torch.autocast(lab.features.device.type, dtype=torch.bfloat16):
        lab.policy.act(lab.features[:, 0], lab.policy.start(BATCH))
        return _autocast_none(lab)


def _reentrant(lab: Lab, features: torch.Tensor, state: State) -> Terms:
    evaluated = checkpoint(lambda f: lab.evaluate(f, state=state), features, use_reentrant=True)
    return lab.terms(Evaluation(*evaluated))


@crossing("raises in backward", "misuse", "audit")
def checkpoint_reentrant(lab: Lab) -> Terms:
    """Reentrant checkpointing of the training call, of inputs that need no grad."""
    h, c = (part.clone() for part in lab.policy.initial_state())
    return _reentrant(lab, lab.features, (h, c))


@crossing("raises in forward", "misuse", "guard", "trace")
def checkpoint_reentrant_raw(lab: Lab) -> Terms:
    """The same with the rollout's state, of features that need grad: the second forward raises."""
    return _reentrant(lab, lab.features.requires_grad_(), lab.policy.initial_state())


def _functional(lab: Lab, state: State) -> Terms:
    def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        value: torch.Tensor = torch.func.functional_call(
            lab.policy, parameters, (lab.features, state)
        )[1]
        return (value - lab.returns).square().mean()

    parameters = dict(lab.policy.named_parameters())
    gradients = torch.func.grad(loss)({name: p.detach() for name, p in parameters.items()})
    for name, parameter in parameters.items():
        parameter.grad = gradients[name]
    return {}


def _value_gradients(lab: Lab) -> Terms:
    loss = (lab.evaluate().value - lab.returns).square().mean()
    parameters = list(lab.policy.parameters())
    gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    return {}


@crossing("fine", "correct", reference=_value_gradients)
def functional_gradient(lab: Lab) -> Terms:
    """`torch.func.grad` over `functional_call`, with a cloned state."""
    h, c = (part.clone() for part in lab.policy.initial_state())
    return _functional(lab, (h, c))


@crossing("fine", "correct", reference=_value_gradients)
def functional_gradient_raw(lab: Lab) -> Terms:
    """The same with the rollout's state: inside `torch.func` it may be saved."""
    return _functional(lab, lab.policy.initial_state())


def _spanning(rollout_mode: Callable[[], AbstractContextManager[Any]]) -> Run:
    def run(lab: Lab) -> Terms:
        with torch.autocast(lab.features.device.type, dtype=torch.bfloat16):
            with rollout_mode():
                lab.policy(lab.features, lab.policy.start(BATCH))
            return _autocast_none(lab)

    return run


for name, core, mode, rollout in (
    ("rollout-lstm", "lstm", torch.inference_mode, "rollout and training of `nn.LSTM`"),
    ("no-grad", "hand", torch.no_grad, "a rollout under `no_grad` and training"),
    ("no-grad-lstm", "lstm", torch.no_grad, "a rollout under `no_grad` and training of `nn.LSTM`"),
):
    enter(
        f"recomputation.autocast-spans-{name}",
        f"One autocast region around {rollout}.",
        _spanning(mode),
        *("fine", "correct"),
        core=core,
        reference=_autocast_none,
        elsewhere=CASTS_SHARED,
    )


def _checkpointed_core(lab: Lab, *, use_reentrant: bool) -> Terms:
    core = lab.policy.core.forward
    h, c = lab.policy.initial_state()

    def recomputed(latents: torch.Tensor, _: State) -> tuple[torch.Tensor, State]:
        outputs = checkpoint(lambda x: core(x, (h, c))[0], latents, use_reentrant=use_reentrant)
        return outputs, (h, c)

    lab.policy.core.forward = recomputed
    return plain(lab)


@crossing("raises in forward", "misuse", "trace")
def checkpoint_core_captured(lab: Lab) -> Terms:
    """Checkpointing without reentry around the core, which captures the rollout's state."""
    return _checkpointed_core(lab, use_reentrant=False)


@crossing("raises in backward", "misuse", "trace")
def checkpoint_reentrant_core_captured(lab: Lab) -> Terms:
    """Reentrant checkpointing around the core, which captures the rollout's state."""
    return _checkpointed_core(lab, use_reentrant=True)


@crossing("raises in forward", "misuse", "trace", core="hand")
def vmap_over_environments(lab: Lab) -> Terms:
    """`torch.vmap` of the policy over environments, with the rollout's state."""
    lab.phase = "in forward"
    h, c = lab.policy.initial_state()
    features = lab.features[:, None]
    log_probs, value, _ = torch.vmap(lab.policy, in_dims=(0, (1, 1)))(
        features, (h[:, :, None], c[:, :, None])
    )
    return lab.terms(evaluation(log_probs[:, 0], value[:, 0], lab.actions))
