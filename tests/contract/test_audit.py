"""The audit names what a loss does not train, and accuses nothing else."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tamiyo_rl import ContractError, LSTMPolicyBundle, audit_backward, audit_gradients
from tamiyo_rl.policy import EvalResult

pytestmark = pytest.mark.clause("C3", "C7", "C8")


def evaluated(bundle: LSTMPolicyBundle, starts: torch.Tensor | None = None) -> EvalResult:
    features, actions = torch.randn(2, 5, 4), {"action": torch.zeros(2, 5, dtype=torch.long)}
    hidden = None if starts is None else bundle.initial_hidden(2).clone()
    return bundle.evaluate_actions(features, actions, hidden=hidden, episode_starts=starts)


def terms_of(evaluation: EvalResult) -> dict[str, torch.Tensor]:
    return {
        "policy": -evaluation.joint_log_prob.mean(),
        "value": evaluation.value.square().mean(),
        "entropy": -evaluation.joint_entropy.mean(),
    }


@pytest.fixture
def bundle() -> LSTMPolicyBundle:
    torch.manual_seed(0)
    return LSTMPolicyBundle(feature_dim=4, action_dims=2, hidden_dim=8, learn_initial_hidden=True)


def test_a_right_loss_has_no_problem(bundle: LSTMPolicyBundle) -> None:
    report = audit_gradients(terms_of(evaluated(bundle)), bundle)
    assert report.problems == ()
    assert "policy_head.weight" in report.reached["policy"]
    assert "policy_head.weight" not in report.reached["value"]


@pytest.mark.parametrize("term", ["policy", "value", "entropy"])
def test_each_constant_term_is_named_although_others_train(
    bundle: LSTMPolicyBundle, term: str
) -> None:
    terms = terms_of(evaluated(bundle))
    terms[term] = terms[term].detach()
    report = audit_gradients(terms, bundle)
    assert report.constants == (term,)
    with pytest.raises(ContractError, match=f"terms without a gradient: {term}"):
        report.raise_if_broken()


def test_an_initial_state_that_no_row_starts_from_is_no_problem(bundle: LSTMPolicyBundle) -> None:
    nowhere = torch.zeros(2, 5, dtype=torch.bool)
    assert audit_gradients(terms_of(evaluated(bundle, nowhere)), bundle).problems == ()


def test_a_learned_initial_state_that_is_copied_is_unreached() -> None:
    core, initial = nn.GRU(4, 8, batch_first=True), nn.Parameter(torch.zeros(1, 1, 8))
    module = nn.Module()
    module.core, module.initial = core, initial
    with torch.inference_mode():
        state = initial.expand(-1, 2, -1)
    term = core(torch.ones(2, 5, 4), state.clone())[0].mean()
    assert audit_gradients({"policy": term}, module).unreached == ("initial",)
    assert audit_gradients({"policy": term}, module, untouched=["init*"]).problems == ()


def test_frozen_parameters_are_left_out(bundle: LSTMPolicyBundle) -> None:
    for name, parameter in bundle.named_parameters():
        parameter.requires_grad_(not name.startswith("value_head"))
    terms = terms_of(evaluated(bundle))
    del terms["value"]
    assert audit_gradients(terms, bundle).problems == ()


def test_checkpointing_without_reentry_is_seen_through() -> None:
    model = nn.Linear(2, 1)
    term = checkpoint(model, torch.ones(3, 2), use_reentrant=False).mean()
    report = audit_gradients({"fit": term}, model)
    assert report.reached["fit"] == ("weight", "bias")


def test_reentrant_checkpointing_is_said_to_be_opaque() -> None:
    model, features = nn.Linear(2, 1), torch.ones(3, 2, requires_grad=True)
    term = checkpoint(model, features, use_reentrant=True).mean()
    report = audit_gradients({"fit": term}, model)
    assert (report.opaque, report.problems) == (("fit",), ())
    term.backward()
    assert audit_backward(model).problems == ()


def test_a_compiled_network_is_said_to_be_opaque() -> None:
    model = nn.Linear(2, 1)
    term = torch.compile(model, backend="aot_eager")(torch.ones(3, 2)).mean()
    report = audit_gradients({"fit": term}, model)
    assert report.opaque == ("fit",)
    term.backward()
    assert audit_backward(model).problems == ()


def test_backward_names_what_got_no_gradient() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[1](model[0](torch.ones(3, 2)).detach()).mean().backward()
    assert audit_backward(model).unreached == ("0.weight", "0.bias")


def test_an_optimizer_that_holds_old_parameters_is_named() -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters())
    model.weight = nn.Parameter(model.weight.detach().clone())
    report = audit_gradients({"fit": model(torch.ones(3, 2)).mean()}, model, optimizer=optimizer)
    assert report.unoptimized == ("weight",)


def test_a_deep_graph_does_not_exhaust_the_stack() -> None:
    model = nn.Linear(1, 1)
    term = model(torch.ones(1, 1))
    for _ in range(20_000):
        term = term + 1
    assert audit_gradients({"fit": term}, model).problems == ()


@pytest.mark.parametrize(
    ("terms", "module", "untouched", "message"),
    [
        ([torch.ones(1)], nn.Linear(1, 1), (), "terms: expected a mapping"),
        ({"a": 1.0}, nn.Linear(1, 1), (), r"terms\['a'\]: expected a tensor"),
        ({"a": torch.ones(1)}, [torch.ones(1)], (), "module: expected an nn.Module"),
        ({"a": torch.ones(1)}, nn.Linear(1, 1), "bias", "untouched: expected a list"),
    ],
)
def test_bad_input_names_the_argument(
    terms: Any, module: Any, untouched: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        audit_gradients(terms, module, untouched=untouched)
