"""Guard, audit and tracer raise no alarm over correct code, and leave its gradients unchanged."""

import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from tamiyo_rl import (
    GradientReport,
    audit_backward,
    audit_gradients,
    guard_training_inputs,
    trace_crossings,
)
from tests.contract.custom_functions import FusedSquare, Recompute, ReverseGradient, Run

pytestmark = pytest.mark.clause("C8")

FEATURES = torch.randn(3, 4)

recompute: Any = Recompute.apply
reverse: Any = ReverseGradient.apply
fused_square: Any = FusedSquare.apply


def make_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def gradients_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}


def watch(module: nn.Module, loss_of: Run, optimizer: Any = None) -> GradientReport:
    """Take one step of training with all tools on, and require that no tool complains."""

    @guard_training_inputs
    def guarded(module: nn.Module, features: torch.Tensor) -> torch.Tensor:
        return loss_of(features)

    loss_of(FEATURES.clone().requires_grad_()).backward()
    expected = gradients_of(module)
    module.zero_grad()
    with trace_crossings():
        loss = guarded(module, FEATURES.clone().requires_grad_())
        report = audit_gradients({"loss": loss}, module, optimizer=optimizer)
        assert report.problems == ()
        loss.backward()
        backward = audit_backward(module)
        assert (backward.problems, backward.zero, backward.unknown) == ((), (), ())
    got = gradients_of(module)
    assert got.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(got[name], gradient)
    return report


def mean_of(network: Run) -> Run:
    return lambda features: network(features).square().mean()


def reversed_head(network: nn.Sequential) -> Run:
    return lambda features: network[2](reverse(network[:2](features)))


def penalized(network: nn.Sequential) -> Run:
    def loss_of(features: torch.Tensor) -> torch.Tensor:
        loss = network(features).square().mean()
        (slope,) = torch.autograd.grad(loss, features, create_graph=True)
        return loss + slope.square().sum()  # type: ignore[no-any-return]  # the call of a module is untyped

    return loss_of


WAYS: dict[str, Callable[[nn.Sequential], Run]] = {
    "plain": lambda network: network,
    "reentrant": lambda network: lambda x: checkpoint(network, x, use_reentrant=True),
    "checkpointed": lambda network: lambda x: checkpoint(network, x, use_reentrant=False),
    "recomputed": lambda network: lambda x: recompute(network, x),
    "half recomputed": lambda network: lambda x: network[2](recompute(network[:2], x)),
    "reversed": reversed_head,
    "compiled by eager": lambda network: torch.compile(network, backend="eager", fullgraph=True),
    "compiled by aot_eager": lambda network: torch.compile(
        network, backend="aot_eager", fullgraph=True
    ),
    "double backward": penalized,
    "called as a function": lambda network: (
        lambda x: torch.func.functional_call(network, dict(network.named_parameters()), x)
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_tool_complains_of_a_network_that_trains(way: str) -> None:
    network = make_network()
    watch(network, mean_of(WAYS[way](network)), torch.optim.SGD(network.parameters()))


def weight_normed() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 2)), nn.Linear(2, 2))


def tied() -> nn.Module:
    network = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    network[2].weight = network[0].weight
    return network


def frozen_backbone() -> nn.Module:
    network = make_network()
    network[0].requires_grad_(requires_grad=False)
    return network


def frozen_normalization_of_inference_mode() -> nn.Module:
    with torch.inference_mode():
        shift = nn.Parameter(torch.ones(4), requires_grad=False)

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = shift
            self.head = nn.Linear(4, 2)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                shifted = features + self.shift
            return self.head(shifted)  # type: ignore[no-any-return]  # the call of a module is untyped

    return Shifted()


@pytest.mark.parametrize(
    "make", [weight_normed, tied, frozen_backbone, frozen_normalization_of_inference_mode]
)
def test_no_tool_complains_of_parts_that_are_shared_derived_or_frozen(
    make: Callable[[], nn.Module],
) -> None:
    network = make()
    watch(network, mean_of(network), torch.optim.SGD(network.parameters()))


def test_no_tool_complains_of_a_fused_loss() -> None:
    layer = nn.Linear(4, 2)
    features = FEATURES.clone().requires_grad_()
    loss = fused_square(layer, features)
    report = audit_gradients({"loss": loss}, layer)
    assert (report.opaque, report.problems) == (("loss",), ())
    loss.backward()
    assert audit_backward(layer).problems == ()


@pytest.fixture(scope="module")
def group() -> Iterator[None]:
    """Be a group of one process, for as long as these tests run."""
    store = dist.HashStore()  # type: ignore[attr-defined]  # torch exports it without saying so
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("find_unused", [False, True])
@pytest.mark.filterwarnings("ignore:.*find_unused_parameters")
def test_no_tool_complains_of_ddp(find_unused: bool) -> None:
    network = DistributedDataParallel(make_network(), find_unused_parameters=find_unused)
    watch(network, mean_of(network), torch.optim.SGD(network.parameters()))


def shard(network: nn.Module) -> Any:
    return fully_shard(network, mesh=init_device_mesh("cpu", (1,)))


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("nested", [False, True])
def test_no_tool_complains_of_fsdp2(nested: bool) -> None:
    network = make_network()
    if nested:
        shard(network[0])
        shard(network[2])
    shard(network)
    optimizer = torch.optim.SGD(network.parameters())
    watch(network, mean_of(network), optimizer)


@pytest.mark.usefixtures("group")
def test_a_gradient_that_fsdp2_keeps_for_later_is_not_known() -> None:
    network = make_network()
    for part in (network[0], network[2], network):
        shard(part).set_requires_gradient_sync(False)
    mean_of(network)(FEATURES).backward()
    report = audit_backward(network)
    assert report.problems == ()
    assert report.unknown == ("0.weight", "0.bias", "2.weight", "2.bias")


@pytest.mark.usefixtures("group")
@pytest.mark.filterwarnings("ignore:FSDP is switching")
@pytest.mark.parametrize("original", [False, True])
def test_no_tool_complains_of_fsdp1(original: bool) -> None:
    network = make_network()
    for i in (0, 2):
        network[i] = FullyShardedDataParallel(
            network[i], use_orig_params=original, device_id=torch.device("cpu")
        )
    report = watch(network, mean_of(network), torch.optim.SGD(network.parameters()))
    assert report.opaque == (("loss",) if original else ())


def test_no_tool_complains_inside_the_transforms_of_functions() -> None:
    network = make_network()
    parameters: dict[str, torch.Tensor] = dict(network.named_parameters())

    @guard_training_inputs
    def guarded(network: nn.Module, features: torch.Tensor) -> torch.Tensor:
        return network(features).mean()  # type: ignore[no-any-return]  # the call of a module is untyped

    def loss_of(parameters: dict[str, torch.Tensor]) -> Any:
        loss = torch.func.functional_call(network, parameters, (FEATURES,)).mean()
        report = audit_gradients({"loss": loss}, network)
        assert (report.opaque, report.problems) == (("loss",), ())
        return loss

    for tool in (trace_crossings, torch.enable_grad):
        with tool():
            assert torch.vmap(lambda row: guarded(network, row))(FEATURES).requires_grad
            assert torch.func.grad(loss_of)(parameters).keys() == parameters.keys()
            slope = torch.func.grad(lambda row: guarded(network, row))(FEATURES)
            assert slope.shape == FEATURES.shape


def test_an_ensemble_under_vmap_passes() -> None:
    networks = [make_network() for _ in range(2)]
    parameters, buffers = torch.func.stack_module_state(networks)
    skeleton = copy.deepcopy(networks[0])

    @guard_training_inputs
    def run(network: nn.Module, parameters: Any, buffers: Any) -> torch.Tensor:
        return torch.func.functional_call(network, (parameters, buffers), (FEATURES,))  # type: ignore[no-any-return]  # it is untyped

    out = torch.vmap(functools.partial(run, skeleton))(parameters, buffers)
    assert out.requires_grad


class Actor(nn.Module):
    """Returns a sample, and keeps its distribution for the update."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    @guard_training_inputs(differentiable_outputs=False)
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.distribution = torch.distributions.Normal(self.head(features), 1.0)
        return self.distribution.sample()  # type: ignore[no-any-return]  # the call of a module is untyped


def test_an_actor_that_returns_a_sample_passes() -> None:
    actor = Actor()
    assert not actor(FEATURES).requires_grad
    loss = actor.distribution.log_prob(torch.zeros(3, 2)).mean()
    assert audit_gradients({"loss": loss}, actor).problems == ()


def test_an_update_that_takes_its_own_step_passes() -> None:
    network = make_network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    before = copy.deepcopy(network)

    @guard_training_inputs(differentiable_outputs=False)
    def update(features: torch.Tensor, policy: nn.Module) -> torch.Tensor:
        loss = mean_of(policy)(features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    assert not update(FEATURES, network).requires_grad
    assert not before.state_dict()["0.weight"].equal(network.state_dict()["0.weight"])


class ManualOptimization(nn.Module):
    """Trains as a module with manual optimization does: it steps, and returns what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.network = make_network()
        self.optimizer = torch.optim.SGD(self.network.parameters())

    @guard_training_inputs(differentiable_outputs=False)
    def training_step(self, batch: torch.Tensor, _: int) -> dict[str, torch.Tensor]:
        loss = mean_of(self.network)(batch)
        self.optimizer.zero_grad()
        loss.backward()
        audit_backward(self).raise_if_broken()
        self.optimizer.step()
        return {"loss": loss.detach()}


def test_manual_optimization_passes() -> None:
    module = ManualOptimization()
    before = module.training_step(FEATURES, 0)["loss"]
    assert module.training_step(FEATURES, 1)["loss"] < before


def test_an_optimizer_that_steps_in_the_backward_pass_passes() -> None:
    network = make_network()
    for parameter in network.parameters():
        optimizer = torch.optim.SGD([parameter], lr=0.1)

        def step(parameter: torch.Tensor, optimizer: torch.optim.Optimizer = optimizer) -> None:
            optimizer.step()
            parameter.grad = None

        parameter.register_post_accumulate_grad_hook(step)
    loss = mean_of(network)(FEATURES)
    assert audit_gradients({"loss": loss}, network).problems == ()
    loss.backward()
    report = audit_backward(network)
    assert report.problems == ()
    assert report.unknown == ("0.weight", "0.bias", "2.weight", "2.bias")
    assert "a hook may have taken" in str(report)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_function_that_is_compiled_inside_the_tracer_is_compiled_whole(backend: str) -> None:
    network = make_network()
    torch._dynamo.reset()
    compiled = torch.compile(network, backend=backend, fullgraph=True)
    with trace_crossings():
        inside = compiled(FEATURES)
    torch.testing.assert_close(inside, network(FEATURES))
    torch.testing.assert_close(compiled(FEATURES), inside)


def test_a_module_is_exported_inside_the_tracer_as_it_is_outside() -> None:
    network = make_network()
    with trace_crossings():
        exported = torch.export.export(network, (FEATURES,))
    torch.testing.assert_close(exported.module()(FEATURES), network(FEATURES))
