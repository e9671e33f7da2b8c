"""The audit names what a loss does not train, and accuses nothing else."""

from typing import Any

import pytest
import torch
from tensordict import TensorDict  # type: ignore[import-untyped]  # it ships no types
from torch import nn
from torch.utils.checkpoint import checkpoint

from tamiyo_rl import ContractError, LSTMPolicyBundle, audit_backward, audit_gradients
from tamiyo_rl.policy import EvalResult
from tests.contract.custom_functions import DropGradient

pytestmark = pytest.mark.clause("C3", "C7", "C8")


def evaluate(bundle: LSTMPolicyBundle, starts: torch.Tensor | None = None) -> EvalResult:
    features = torch.randn(2, 5, 4)
    actions = {"action": torch.zeros(2, 5, dtype=torch.long)}
    hidden = None if starts is None else bundle.initial_hidden(2).clone()
    return bundle.evaluate_actions(features, actions, hidden=hidden, episode_starts=starts)


def make_terms(evaluation: EvalResult) -> dict[str, torch.Tensor]:
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
    report = audit_gradients(make_terms(evaluate(bundle)), bundle)
    assert report.problems == ()
    assert "policy_head.weight" in report.reached["policy"]
    assert "policy_head.weight" not in report.reached["value"]


@pytest.mark.parametrize("term", ["policy", "value", "entropy"])
def test_each_constant_term_is_named_although_others_train(
    bundle: LSTMPolicyBundle, term: str
) -> None:
    terms = make_terms(evaluate(bundle))
    terms[term] = terms[term].detach()
    report = audit_gradients(terms, bundle)
    assert report.constants == (term,)
    with pytest.raises(ContractError, match=f"terms without a gradient: {term}"):
        report.raise_if_broken()


def test_an_unused_initial_state_is_not_a_problem(bundle: LSTMPolicyBundle) -> None:
    nowhere = torch.zeros(2, 5, dtype=torch.bool)
    assert audit_gradients(make_terms(evaluate(bundle, nowhere)), bundle).problems == ()


def test_a_learned_initial_state_that_is_copied_is_unreached() -> None:
    core = nn.GRU(4, 8, batch_first=True)
    initial = nn.Parameter(torch.zeros(1, 1, 8))
    module = nn.Module()
    module.core = core
    module.initial = initial
    with torch.inference_mode():
        state = initial.expand(-1, 2, -1)
    term = core(torch.ones(2, 5, 4), state.clone())[0].mean()
    assert audit_gradients({"policy": term}, module).unreached == ("initial",)
    assert audit_gradients({"policy": term}, module, untouched=["init*"]).problems == ()


def test_frozen_parameters_are_left_out(bundle: LSTMPolicyBundle) -> None:
    for name, parameter in bundle.named_parameters():
        parameter.requires_grad_(not name.startswith("value_head"))
    terms = make_terms(evaluate(bundle))
    del terms["value"]
    assert audit_gradients(terms, bundle).problems == ()


def test_the_audit_sees_through_checkpointing_without_reentry() -> None:
    model = nn.Linear(2, 1)
    term = checkpoint(model, torch.ones(3, 2), use_reentrant=False).mean()
    report = audit_gradients({"fit": term}, model)
    assert report.reached["fit"] == ("weight", "bias")


def test_reentrant_checkpointing_is_said_to_be_opaque() -> None:
    model = nn.Linear(2, 1)
    features = torch.ones(3, 2, requires_grad=True)
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


def test_a_custom_function_is_not_believed_to_pass_a_gradient_on() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    drop: Any = DropGradient.apply
    term = model[1](drop(model[0](torch.ones(3, 2)))).mean()
    assert audit_gradients({"fit": term}, model).opaque == ("fit",)
    term.backward()
    assert audit_backward(model).unreached == ("0.weight", "0.bias")


@pytest.mark.parametrize("features", [torch.ones(3, 2), torch.ones(5, 2, requires_grad=True)])
def test_a_plain_graph_hides_nothing(features: torch.Tensor) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    term = model[1](model[0](features).detach() + features.sum()).mean()
    report = audit_gradients({"fit": term}, model)
    assert (report.opaque, report.unreached) == ((), ("0.weight", "0.bias"))


@pytest.mark.parametrize("form", ["cast", "flat", "shard"])
def test_a_leaf_that_may_stand_for_a_parameter_may_hide_it(form: str) -> None:
    model = nn.Linear(2, 1, bias=False)
    flat = nn.Parameter(torch.ones(5))
    stand_in = {"cast": torch.ones(2, requires_grad=True), "flat": flat, "shard": flat}[form]
    if form == "flat":
        model.weight.data = flat.data[:2].view(1, 2)
    if form == "shard":  # this process holds none of it
        model.weight.data = torch.ones(0)
    report = audit_gradients({"fit": stand_in.sum()}, model)
    assert (report.opaque, report.unreached) == (("fit",), ())


def test_a_shard_of_nothing_is_not_asked_for_a_gradient() -> None:
    model = nn.Linear(2, 1)
    model.weight.data = torch.ones(0)
    model.bias.sum().backward()
    assert audit_backward(model).problems == ()


def test_a_lazy_parameter_that_was_never_made_is_unreached() -> None:
    model = nn.ModuleDict({"used": nn.Linear(2, 1), "lazy": nn.LazyLinear(2)})
    term = model["used"](torch.ones(3, 2)).mean()
    assert audit_gradients({"fit": term}, model).unreached == ("lazy.weight", "lazy.bias")
    term.backward()
    assert audit_backward(model).unreached == ("lazy.weight", "lazy.bias")


def test_a_gradient_of_zero_is_reported_and_not_accused() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"policy": nn.Linear(2, 2), "value": nn.Linear(2, 1)})
    features = torch.ones(3, 2)
    entropy = model["policy"](features).softmax(-1).log().mean()
    (model["value"](features).mean() + 0.0 * entropy).backward()
    report = audit_backward(model)
    assert report.zero == ("policy.weight", "policy.bias")
    assert "gradient is 0 in every element: policy.weight, policy.bias\n    maybe:" in str(report)
    report.raise_if_broken()


def test_only_whole_gradients_are_called_zero() -> None:
    embedding = nn.Embedding(3, 2, sparse=True)
    (0.0 * embedding(torch.tensor([1]))).sum().backward()
    assert audit_backward(embedding).zero == ()


@pytest.mark.parametrize("off", [0, 0.0])
def test_a_term_that_is_switched_off_is_reported(off: float) -> None:
    model = nn.Linear(2, 1)
    report = audit_gradients({"fit": model(torch.ones(3, 2)).mean(), "entropy": off}, model)
    assert (report.switched_off, report.problems) == (("entropy",), ())
    assert str(report).splitlines()[1] == "entropy: switched off"
    with pytest.raises(TypeError, match=r"terms\['fit'\]: expected a tensor or 0, got 0.5"):
        audit_gradients({"fit": 0.5}, model)


@pytest.mark.parametrize("batch_size", [[], [3]])
def test_a_tensordict_holds_the_terms(batch_size: list[int]) -> None:
    model = nn.Linear(2, 1)
    fit = model(torch.ones(3, 2))
    kept = fit.detach()
    terms = TensorDict({"fit": fit, "kept": kept}, batch_size)
    if not batch_size:
        terms["entropy"] = 0
    report = audit_gradients(terms, model)
    assert (report.reached, report.constants) == ({"fit": ("weight", "bias")}, ("kept",))
    assert report.switched_off == (() if batch_size else ("entropy",))


def test_an_optimizer_may_hold_a_parameter_as_another_class_but_not_in_another_size() -> None:
    model = nn.Linear(2, 1, bias=False)
    other = torch.zeros(3, requires_grad=True)  # another class, as shards have
    same = torch.zeros(2, requires_grad=True)
    terms = {"fit": model(torch.ones(3, 2)).mean()}
    for held, unoptimized in ((other, ("weight",)), (same, ())):
        optimizer = torch.optim.SGD([held])
        assert audit_gradients(terms, model, optimizer=optimizer).unoptimized == unoptimized


def test_backward_names_parameters_without_a_gradient() -> None:
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
