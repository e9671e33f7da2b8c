"""The errors of the guard and the audits: each says what was expected, what came, what to do."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tamiyo_rl import (
    ContractError,
    LSTMPolicyBundle,
    audit_gradients,
    check_ratio,
    guard_training_inputs,
)
from tamiyo_rl.contract import mark_origin, origin_of

LAYER = nn.Linear(2, 2)


def loss() -> torch.Tensor:
    value: torch.Tensor = LAYER(torch.ones(3, 2)).mean()
    return value


def log_prob() -> torch.Tensor:
    return torch.zeros(3, requires_grad=True)


def audit(terms: Any = None, module: Any = LAYER, **options: Any) -> object:
    return audit_gradients({"policy": loss()} if terms is None else terms, module, **options)


@guard_training_inputs
def evaluate(policy: nn.Module, features: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        outputs: torch.Tensor = policy(features)
    return outputs


@guard_training_inputs
def difference(actor: nn.Module, critic: nn.Module, features: torch.Tensor) -> torch.Tensor:
    values: torch.Tensor = actor(features) - critic(features)
    return values


@guard_training_inputs
def double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def run_a_policy_made_under_inference_mode() -> None:
    with torch.inference_mode():
        bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
    bundle.to(torch.float64).to(torch.float32)
    bundle.forward(torch.zeros(2, 5, 4))


def run_a_policy_that_detaches() -> None:
    bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
    head: Any = bundle.network.value_head
    head.register_forward_hook(lambda head, inputs, output: output.detach())
    bundle.forward(torch.zeros(2, 5, 4))


def subtract_a_critic_made_under_inference_mode() -> None:
    with torch.inference_mode():
        critic = nn.Linear(4, 1)
    difference(nn.Linear(4, 1), critic, torch.zeros(8, 4))


def check_a_freed_ratio() -> None:
    new = log_prob()
    ratio = (new - new.detach()).exp()
    ratio.sum().backward()
    check_ratio(ratio, new)


NOT_NAMED = "method: expected a function whose arguments have names, got"
NOT_A_RATIO = "ratio: expected a dense floating point tensor, got"
NOT_A_MODULE = "module: expected an nn.Module or anything else with named_parameters(), got"

CASES: list[tuple[Callable[[], object], str]] = [
    (
        run_a_policy_made_under_inference_mode,
        (
            "forward(): parameters made or replaced under inference_mode() cannot be trained:\n"
            "  core.weight_ih_l0, core.weight_hh_l0 and 6 more\n"
            "  do: build, move and load the module outside inference mode, then the optimizer"
        ),
    ),
    (
        run_a_policy_that_detaches,
        (
            "LSTMPolicyBundle.network: the value does not require grad, although parameters "
            "behind it do\n  cause: something inside runs under no_grad() or inference_mode(), or "
            "detaches\n  do: move that out of the call, or freeze what is not to be trained"
        ),
    ),
    (
        lambda: evaluate(nn.Linear(4, 2), torch.zeros(8, 4)),
        (
            "evaluate(): no output requires grad, although parameters behind it do\n"
            "  cause: something inside runs under no_grad() or inference_mode(), or detaches\n"
            "  do: move that out of the call, or freeze what is not to be trained\n"
            "  or: if it returns a sample or calls backward() itself, "
            "guard_training_inputs(differentiable_outputs=False)"
        ),
    ),
    (
        subtract_a_critic_made_under_inference_mode,
        (
            "difference(): parameters made or replaced under inference_mode() cannot be trained:\n"
            "  critic.weight, critic.bias\n"
            "  do: build, move and load the module outside inference mode, then the optimizer"
        ),
    ),
    (
        lambda: check_ratio(torch.ones(3), torch.zeros(3)),
        (
            "ratio: expected to rise with log_prob, as exp(log_prob - old_log_prob) does\n"
            "  got: no dependence on it\n"
            "  do: subtract the rollout's log-probability from the new one"
        ),
    ),
    (lambda: guard_training_inputs(3), f"{NOT_NAMED} 3."),  # type: ignore[call-overload]  # no method
    (
        lambda: guard_training_inputs(nn.Linear),
        f"{NOT_NAMED} <class 'torch.nn.modules.linear.Linear'>.",
    ),
    (
        lambda: guard_training_inputs(staticmethod(print)),
        (
            f"{NOT_NAMED} <staticmethod(<built-in function print>)>. Put @guard_training_inputs "
            "below @staticmethod."
        ),
    ),
    (
        lambda: mark_origin(torch.zeros(2), 3),  # type: ignore[arg-type]  # not a name
        "method: expected its name, a string, got 3.",
    ),
    (
        lambda: origin_of([torch.zeros(2)]),  # type: ignore[arg-type]  # not a tensor
        "tensor: expected a torch.Tensor, got a list.",
    ),
    (
        lambda: audit([loss()]),
        'terms: expected a mapping such as {"policy": loss}, got list of 1.',
    ),
    (lambda: audit({"policy": 1.5}), "terms['policy']: expected a tensor or 0, got 1.5."),
    (lambda: audit(module=[LAYER.weight]), f"{NOT_A_MODULE} list of 1."),
    (lambda: audit(module=nn.Linear), f"{NOT_A_MODULE} the class Linear."),
    (lambda: audit(untouched="bias"), "untouched: expected a list of names, got 'bias'."),
    (lambda: audit(untouched=None), "untouched: expected a list of names, got None."),
    (
        lambda: audit(optimizer=LAYER.parameters()),
        "optimizer: expected a torch optimizer, got a generator.",
    ),
    (lambda: check_ratio(1.0, log_prob()), f"{NOT_A_RATIO} 1.0."),  # type: ignore[arg-type]  # not a tensor
    (
        lambda: check_ratio(torch.ones(3, dtype=torch.long), log_prob()),
        f"{NOT_A_RATIO} torch.int64.",
    ),
    (
        lambda: check_ratio(torch.ones(3), log_prob(), tolerance=-1),
        "tolerance: expected a number of at least 0, got -1.",
    ),
    (
        check_a_freed_ratio,
        (
            "ratio: expected a graph that is still there, got one that backward() has freed. Call "
            "check_ratio() before it."
        ),
    ),
]
MESSAGES = [message for _, message in CASES]


@pytest.mark.parametrize(("call", "message"), CASES, ids=MESSAGES)
def test_message(call: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError, ContractError)) as caught:
        call()
    assert str(caught.value) == message


def test_builtin_without_named_arguments_cannot_be_guarded() -> None:
    with pytest.raises(TypeError, match=r"^method: expected a function whose arguments have names"):
        guard_training_inputs(torch.add)


def test_a_term_may_hold_a_parameter_itself() -> None:
    terms = {"decay": LAYER.bias, "fit": (LAYER.weight + LAYER.weight.exp()).sum()}
    assert str(audit_gradients(terms, LAYER)) == "decay: reaches bias\nfit: reaches weight"
