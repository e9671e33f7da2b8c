"""The guard raises its alarm for every argument, and raises no false alarm."""

import copy
import functools
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from tensordict import TensorDict  # type: ignore[import-untyped]  # it ships no types

from tamiyo_rl import (
    ContractError,
    HiddenState,
    InferenceTensorWarning,
    LSTMPolicyBundle,
    guard_training_inputs,
)
from tests.contract.leaks import make_leaked

pytestmark = pytest.mark.clause("C4", "C8")

ARGUMENTS = ["features", "actions", "masks", "hidden", "episode_starts"]


@contextmanager
def record_warnings() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def make_bundle() -> LSTMPolicyBundle:
    torch.manual_seed(0)
    return LSTMPolicyBundle(feature_dim=4, action_dims={"op": 3, "slot": 2}, hidden_dim=8)


def make_arguments() -> dict[str, Any]:
    starts = torch.zeros(2, 5, dtype=torch.bool)
    starts[0, 2] = True
    return {
        "features": torch.randn(2, 5, 4),
        "actions": {name: torch.zeros(2, 5, dtype=torch.long) for name in ("op", "slot")},
        "masks": {"op": torch.ones(2, 5, 3).bool(), "slot": torch.ones(2, 5, 2).bool()},
        "hidden": HiddenState(torch.randn(1, 2, 8), torch.randn(1, 2, 8)),
        "episode_starts": starts,
    }


def as_inference(value: Any) -> Any:
    with torch.inference_mode():
        if isinstance(value, dict):
            return {name: tensor.clone() for name, tensor in value.items()}
        return value.clone()


def outputs_and_gradients(bundle: LSTMPolicyBundle, arguments: dict[str, Any]) -> list[Any]:
    bundle.network.zero_grad()
    result = bundle.evaluate_actions(**arguments)
    loss = result.joint_log_prob.sum() + result.joint_entropy.sum() + result.value.sum()
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in bundle.parameters() if p.grad is not None)]


@pytest.mark.parametrize("name", ARGUMENTS)
def test_inference_tensor_in_any_argument_warns_once_and_trains_as_a_clone_does(name: str) -> None:
    bundle = make_bundle()
    arguments = make_arguments()
    expected = outputs_and_gradients(bundle, arguments)
    with record_warnings() as caught:
        got = outputs_and_gradients(bundle, arguments | {name: as_inference(arguments[name])})
    assert [w.category for w in caught] == [InferenceTensorWarning]
    assert f"  {name}" in str(caught[0].message)
    assert all(a.equal(b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("method", ["evaluate_actions", "forward"])
def test_warning_points_at_the_line_of_the_caller(method: str) -> None:
    bundle = make_bundle()
    arguments = make_arguments()
    if method == "forward":
        del arguments["actions"]
    arguments["hidden"] = bundle.initial_hidden(2)
    with record_warnings() as caught:
        getattr(bundle, method)(**arguments)
    assert [w.filename for w in caught] == [__file__]


def test_one_warning_names_every_argument_with_its_own_origin_and_remedy() -> None:
    bundle = make_bundle()
    arguments = make_arguments()
    step = bundle.get_action(torch.zeros(2, 4))
    arguments["hidden"] = HiddenState(bundle.initial_hidden(2).h, step.hidden.c)
    arguments["features"] = as_inference(arguments["features"])
    with record_warnings() as caught:
        bundle.evaluate_actions(**arguments)
    (message,) = [str(w.message) for w in caught]
    assert (
        "hidden.h from LSTMPolicyBundle.initial_hidden\n    lost: the gradient into the " in message
    )
    assert "do: pass hidden=None; or clone() it" in message
    assert "hidden.c from LSTMPolicyBundle.get_action\n" in message
    assert "do: clone() it outside inference mode, or take it from RolloutBuffer" in message
    assert "features from unknown code\n" in message


@pytest.mark.parametrize(
    "derive", [torch.Tensor.detach, lambda t: t[:, :], lambda t: t.view(1, 2, 8)]
)
def test_a_view_that_lost_the_marker_is_found_all_the_same(derive: Any) -> None:
    bundle = make_bundle()
    arguments = make_arguments()
    state = bundle.initial_hidden(2)
    arguments["hidden"] = HiddenState(derive(state.h), derive(state.c))
    with pytest.warns(InferenceTensorWarning, match=r"hidden\.h, hidden\.c from unknown code"):
        bundle.evaluate_actions(**arguments)


def test_a_warning_raised_as_an_error_stops_the_call_before_it_computes() -> None:
    bundle = make_bundle()
    arguments = make_arguments()
    calls: list[object] = []
    bundle.network.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(InferenceTensorWarning):  # warnings are errors in these tests
        bundle.evaluate_actions(**arguments | {"hidden": bundle.initial_hidden(2)})
    assert not calls


def test_ordinary_tensors_never_warn_even_with_the_marker() -> None:
    bundle = make_bundle()
    arguments = make_arguments()
    for tensor in arguments["hidden"]:
        tensor._inference_mode_created = "LSTMPolicyBundle.initial_hidden"
    bundle.evaluate_actions(**arguments)
    with torch.inference_mode():
        view_of_ordinary = arguments["features"][:]
    bundle.evaluate_actions(**arguments | {"features": view_of_ordinary})


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_deliberate_calls_without_grad_never_warn(mode: Any) -> None:
    bundle = make_bundle()
    arguments = make_arguments()
    with mode():
        bundle.evaluate_actions(**arguments | {"hidden": bundle.initial_hidden(2)})


def test_a_frozen_bundle_never_warns() -> None:
    bundle = make_bundle()
    arguments = make_arguments()
    bundle.network.requires_grad_(requires_grad=False)
    bundle.evaluate_actions(**arguments | {"hidden": bundle.initial_hidden(2)})


def test_a_frozen_bundle_whose_features_train_warns() -> None:
    bundle = make_bundle()
    arguments = make_arguments()
    bundle.network.requires_grad_(requires_grad=False)
    arguments["features"].requires_grad_()
    with pytest.warns(InferenceTensorWarning):
        bundle.evaluate_actions(**arguments | {"hidden": bundle.initial_hidden(2)})


@pytest.mark.parametrize("part", ["core", "policy_head", "value_head"])
def test_training_only_one_part_works(part: str) -> None:
    bundle = make_bundle()
    arguments = make_arguments()
    for name, parameter in bundle.named_parameters():
        parameter.requires_grad_(name.startswith(part))
    result = bundle.evaluate_actions(**arguments)
    assert result.value.requires_grad == (part != "policy_head")
    assert result.joint_log_prob.requires_grad == (part != "value_head")


def test_a_parameter_replaced_under_inference_mode_is_an_error() -> None:
    bundle = make_bundle()
    with torch.inference_mode():
        bundle.network.policy_head.weight.data = torch.zeros(5, 8)  # type: ignore[union-attr]  # the network is a FactoredRecurrentActorCritic
    with pytest.raises(ContractError, match=r"policy_head\.weight"):
        bundle.evaluate_actions(**make_arguments())


def test_inference_mode_underneath_enable_grad_is_an_error() -> None:
    bundle = make_bundle()
    with torch.inference_mode(), torch.enable_grad(), pytest.raises(ContractError, match="lost"):
        bundle.forward(make_arguments()["features"])


def test_a_value_without_a_graph_is_an_error_even_if_the_logits_have_one() -> None:
    bundle = make_bundle()
    bundle.network.value_head.register_forward_hook(lambda *args: args[-1].detach())  # type: ignore[union-attr]  # the network is a FactoredRecurrentActorCritic
    with pytest.raises(ContractError, match="the value does not require grad"):
        bundle.forward(make_arguments()["features"])


def test_a_decorated_function_keeps_its_name_and_its_own_errors() -> None:
    @guard_training_inputs
    def scale(policy: torch.nn.Module, *inputs: torch.Tensor, **more: torch.Tensor) -> torch.Tensor:
        """Scale."""
        return policy(sum(inputs) + sum(more.values()))  # type: ignore[no-any-return]  # the call of a module is untyped

    layer = torch.nn.Linear(2, 2)
    leaked = make_leaked(2)
    assert scale.__name__ == "scale"
    with pytest.warns(InferenceTensorWarning, match=r'inputs\[1\], more\["b"\]'):
        scale(layer, torch.zeros(2), leaked, b=leaked)
    with pytest.raises(TypeError, match="policy"):
        scale()  # type: ignore[call-arg]  # the call is wrong on purpose


def test_an_update_step_may_return_plain_numbers() -> None:
    @guard_training_inputs
    def update(policy: torch.nn.Module, features: torch.Tensor) -> float:
        loss = policy(features).sum()
        loss.backward()
        return float(loss.detach())

    update(torch.nn.Linear(2, 2), torch.zeros(2))


def test_values_that_only_look_like_policies_are_searched() -> None:
    @dataclass
    class Batch:
        x: torch.Tensor
        parameters: torch.Tensor
        unset: torch.Tensor = field(init=False)

    @guard_training_inputs
    def run(policy: torch.nn.Module, batch: Batch, kind: type) -> torch.Tensor:
        assert kind is Batch
        return policy(batch.x)  # type: ignore[no-any-return]  # the call of a module is untyped

    leaked = make_leaked(2)
    with pytest.warns(InferenceTensorWarning, match=r"batch\.x, batch\.parameters"):
        run(torch.nn.Linear(2, 2), Batch(leaked, leaked), Batch)


def test_the_nesting_keeps_its_types_and_may_hold_itself() -> None:
    class Named(dict[str, Any]):
        @property
        def x(self) -> torch.Tensor:
            return self["x"]  # type: ignore[no-any-return]  # the call of a module is untyped

    @guard_training_inputs
    def run(policy: torch.nn.Module, batch: Named) -> torch.Tensor:
        return policy(batch.x + batch["queue"][0])  # type: ignore[no-any-return]  # the call of a module is untyped

    leaked = make_leaked(2)
    batch = Named(x=leaked, queue=deque([leaked], maxlen=3))
    batch["self"] = batch
    with pytest.warns(InferenceTensorWarning, match=r'batch\["x"\], batch\["queue"\]\[0\]'):
        run(torch.nn.Linear(2, 2), batch)
    assert batch.x is leaked


@guard_training_inputs
def difference(
    student: torch.nn.Module, teacher: Any, features: torch.Tensor, offset: Any = None
) -> torch.Tensor:
    shift = 0 if offset is None else offset["x"]
    return student(features) - teacher(features) + shift  # type: ignore[no-any-return]  # the call of a module is untyped


def make_pair() -> tuple[torch.nn.Linear, torch.nn.Linear]:
    return torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).requires_grad_(requires_grad=False)


def test_a_frozen_teacher_does_not_hide_the_student_of_the_same_names() -> None:
    student, teacher = make_pair()
    with pytest.warns(InferenceTensorWarning, match="features"):
        difference(student, teacher, make_leaked(2))
    with torch.inference_mode():
        broken = copy.deepcopy(student)
    with pytest.raises(ContractError, match="cannot be trained:\n  weight, bias"):
        difference(broken, teacher, torch.zeros(2))
    with pytest.raises(
        ContractError, match=r"cannot be trained:\n  teacher\.weight, teacher\.bias"
    ):
        difference(student, broken, torch.zeros(2))


def test_a_teacher_frozen_and_made_inside_is_not_accused() -> None:
    student, teacher = make_pair()
    with torch.inference_mode():
        teacher = copy.deepcopy(teacher)
    assert difference(student, teacher, torch.zeros(2)).requires_grad


def test_a_module_inside_an_argument_is_asked_for_its_parameters() -> None:
    @guard_training_inputs
    def run(modules: dict[str, torch.nn.Module], features: torch.Tensor) -> torch.Tensor:
        return modules["head"](features)  # type: ignore[no-any-return]  # the call of a module is untyped

    with torch.inference_mode():
        head = torch.nn.Linear(2, 2)
    with pytest.raises(ContractError, match="weight, bias"):
        run({"head": head}, torch.zeros(2))
    frozen, _ = make_pair()
    run({"head": frozen.requires_grad_(requires_grad=False)}, make_leaked(2))


def test_the_parameters_of_modules_inside_modules_are_checked() -> None:
    with torch.inference_mode():
        made_there = torch.nn.Linear(2, 2)
    policy = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(made_there))
    policy[0].register_parameter("unused", None)
    policy[0].owner = policy  # a module that holds itself
    with pytest.raises(ContractError, match=r"weight, 1\.0\.bias"):
        difference(policy, torch.nn.Identity(), torch.zeros(2))


def test_a_bundle_that_names_more_parameters_is_asked_for_them() -> None:
    class Bundle(LSTMPolicyBundle):
        def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
            yield from super().named_parameters()
            yield "more", more

    with torch.inference_mode():
        more = torch.nn.Parameter(torch.zeros(2))
    bundle = Bundle(feature_dim=2, action_dims=2)
    actions = {"action": torch.zeros(1, 1, dtype=torch.long)}
    with pytest.raises(ContractError, match="more"):
        bundle.evaluate_actions(torch.zeros(1, 1, 2), actions)


def test_a_module_that_names_more_parameters_is_asked_for_them() -> None:
    class Layer(torch.nn.Linear):
        def named_parameters(self, *_: Any) -> Iterator[tuple[str, torch.nn.Parameter]]:
            yield from super().named_parameters()
            yield "more", more

    with torch.inference_mode():
        more = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(ContractError, match="more"):
        difference(Layer(2, 2), torch.nn.Identity(), torch.zeros(2))


def test_an_object_with_parameters_is_never_copied() -> None:
    @dataclass
    class Policy:
        layer: torch.nn.Module
        state: torch.Tensor

        def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
            return self.layer.named_parameters()

    @guard_training_inputs
    def run(policies: list[Policy], features: torch.Tensor) -> torch.Tensor:
        assert policies[0] is policy
        return policies[0].layer(features)  # type: ignore[no-any-return]  # the call of a module is untyped

    policy = Policy(torch.nn.Linear(2, 2), make_leaked(2))
    with pytest.warns(InferenceTensorWarning, match="  features from"):
        run([policy], make_leaked(2))


def test_the_defaults_of_a_class_are_not_searched() -> None:
    @dataclass
    class Batch:
        x: torch.Tensor = make_leaked(2)  # noqa: RUF009 - the case

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        difference(*make_pair(), torch.zeros(2), {"x": 0, "kind": Batch})


def test_a_tensordict_stays_one() -> None:
    student, teacher = make_pair()
    given = TensorDict({"x": torch.zeros(2), "more": {"y": make_leaked(2)}}, [2]).lock_()
    with pytest.warns(InferenceTensorWarning, match=r'offset\["more"\]\["y"\] from'):
        difference(student, teacher, torch.zeros(2), given)
    assert given["more", "y"].is_inference()


def test_a_default_is_an_argument() -> None:
    @guard_training_inputs
    def run(policy: torch.nn.Module, features: torch.Tensor = make_leaked(2)) -> torch.Tensor:  # noqa: B008 - the case
        return policy(features)  # type: ignore[no-any-return]  # the call of a module is untyped

    with pytest.warns(InferenceTensorWarning, match="features"):
        run(torch.nn.Linear(2, 2))


def test_writes_of_a_method_to_self_are_kept() -> None:
    @dataclass
    class Trainer:
        policy: torch.nn.Module
        state: torch.Tensor
        steps: int = 0

        @guard_training_inputs
        def update(self, features: torch.Tensor) -> torch.Tensor:
            self.steps += 1
            return self.policy(features)  # type: ignore[no-any-return]  # the call of a module is untyped

    trainer = Trainer(torch.nn.Linear(2, 2), make_leaked(2))
    with pytest.warns(InferenceTensorWarning, match="features"):
        trainer.update(make_leaked(2))
    assert trainer.steps == 1


@pytest.mark.parametrize("how", ["partial", "module", "bound"])
def test_any_callable_can_be_guarded(how: str) -> None:
    with torch.inference_mode():
        layer = torch.nn.Linear(2, 2)
    ways: dict[str, Any] = {"partial": functools.partial(difference, layer, layer), "module": layer}
    run: Any = guard_training_inputs(ways.get(how, layer.forward))
    name = {"partial": "difference", "module": "Linear", "bound": "forward"}[how]
    with pytest.raises(ContractError, match=rf"^{name}\(\): .* cannot be trained"):
        run(torch.zeros(2))


def test_a_partial_has_the_name_of_its_function() -> None:
    def scale(factor: float, features: torch.Tensor) -> torch.Tensor:
        return factor * features

    with pytest.warns(InferenceTensorWarning, match=r"^scale\(\) trains on copies"):
        guard_training_inputs(functools.partial(scale, 2.0))(make_leaked(2))


def test_a_lazy_module_may_see_its_first_batch_in_training() -> None:
    @guard_training_inputs
    def run(policy: torch.nn.Module, features: torch.Tensor) -> torch.Tensor:
        return policy(features)  # type: ignore[no-any-return]  # the call of a module is untyped

    assert run(torch.nn.LazyLinear(3), torch.zeros(2, 2)).requires_grad
    with pytest.raises(ValueError, match="uninitialized"):  # PyTorch's own warning at the first use
        run(torch.nn.Linear(2, 2), torch.nn.UninitializedParameter())


def test_outputs_that_are_only_indices_need_no_gradient() -> None:
    @guard_training_inputs
    def best(policy: torch.nn.Module, features: torch.Tensor) -> torch.Tensor:
        return policy(features).argmax()  # type: ignore[no-any-return]  # the call of a module is untyped

    best(torch.nn.Linear(2, 2), torch.zeros(2))


def test_a_nesting_of_shared_parts_is_entered_once() -> None:
    shared: Any = [make_leaked(2)]
    for _ in range(60):
        shared = [shared, shared]
    with pytest.warns(InferenceTensorWarning, match=r"\[0\]\[0\]"):
        difference(*make_pair(), torch.zeros(2), {"x": 0, "shared": shared})
