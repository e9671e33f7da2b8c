"""C13: the clauses hold compiled, under autocast, in other dtypes and distributed."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import cast

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tamiyo_rl import (
    ContractError,
    EvalResult,
    Gaussian,
    InferenceTensorWarning,
    LSTMPolicyBundle,
)
from tamiyo_rl.policy.network import Critic
from tamiyo_rl.policy.results import ActionResult
from tamiyo_rl.recurrent.episode_plan import Cell
from tamiyo_rl.training import RolloutBatch, RolloutBuffer

pytestmark = pytest.mark.clause("C13")

HEADS: dict[str, int | Gaussian] = {"op": 3, "torque": Gaussian(2), "slot": 5}
STARTS = torch.zeros(3, 8, dtype=torch.bool)
STARTS[:, 0] = STARTS[0, 3] = STARTS[0, 4] = STARTS[1, 6] = True
# Rounding of the dtype in which the network computes, over the steps of a sequence.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.05}
SETTINGS = ("compiled", "autocast", "float64", "bfloat16", "distributed")
KINDS = ("shared lstm", "separate lstm", "shared gru", "separate gru")  # critic and cell


class Setting:
    """A bundle under one of the settings, and the context in which it is called."""

    def __init__(self, name: str, *, learned: bool, layers: int = 1) -> None:
        torch.manual_seed(0)
        self.name, critic, cell = name.split()
        self.bundle = LSTMPolicyBundle(
            4,
            HEADS,
            hidden_dim=8,
            learn_initial_hidden=learned,
            num_lstm_layers=layers,
            cell=cast("Cell", cell),
            critic=cast("Critic", critic),
            head_dims=[6] if critic == "separate" else [],
        )
        for parameter in self.bundle.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        if self.name in {"float64", "bfloat16"}:
            self.bundle.to(getattr(torch, self.name))
        if self.name == "compiled":
            self.bundle.compile(backend="aot_eager")
        if self.name == "distributed":
            self.bundle.network = DistributedDataParallel(self.bundle.network)

    def context(self) -> AbstractContextManager[object]:
        if self.name == "autocast":
            return torch.autocast("cpu", dtype=torch.bfloat16)
        return nullcontext()

    @property
    def tolerance(self) -> float:
        computes_in = torch.bfloat16 if self.name == "autocast" else self.bundle.dtype
        return TOLERANCES[computes_in]

    def evaluate(
        self, features: torch.Tensor, actions: dict[str, torch.Tensor], **kwargs: object
    ) -> EvalResult:
        with self.context():
            return self.bundle.evaluate_actions(features, actions, **kwargs)  # type: ignore[arg-type]  # passed on unchanged


@pytest.fixture(params=[f"{name} {kind}" for name in SETTINGS for kind in KINDS])
def setting(request: pytest.FixtureRequest) -> Iterator[str]:
    with group_of_one() if "distributed" in request.param else nullcontext():
        yield request.param
    torch.compiler.reset()


@contextmanager
def group_of_one() -> Iterator[None]:
    store = dist.HashStore()  # type: ignore[attr-defined]  # torch's stubs leave it out
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def sequences() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    indices = torch.zeros(3, 8, dtype=torch.long)
    return torch.randn(3, 8, 4), {"op": indices, "torque": torch.randn(3, 8, 2), "slot": indices}


def collect(policy: Setting) -> tuple[RolloutBatch, list[ActionResult]]:
    """Fill a buffer with a rollout that has resets, cut into rows that continue it."""
    bundle = policy.bundle
    features, _ = sequences()
    buffer = RolloutBuffer(bundle, 3, 8, sequence_length=4)
    hidden = bundle.initial_hidden(3)
    steps = []
    for t in range(8):
        with policy.context():
            step = bundle.get_action(features[:, t], hidden=hidden, episode_starts=STARTS[:, t])
        buffer.add(
            features[:, t],
            step,
            hidden=hidden,
            episode_starts=STARTS[:, t],
            rewards=torch.ones(3),
            terminated=torch.zeros(3, dtype=torch.bool),
            truncated=torch.zeros(3, dtype=torch.bool),
        )
        hidden = step.hidden
        steps.append(step)
    buffer.finish(steps[-1].value, gamma=0.99, gae_lambda=0.95)
    return next(iter(buffer.minibatches(1))), steps


@pytest.mark.clause("C1", "C2")
def test_the_rollout_gives_inference_tensors_in_the_dtype_of_the_bundle(setting: str) -> None:
    policy = Setting(setting, learned=True)
    _, steps = collect(policy)
    for state in (policy.bundle.initial_hidden(3), steps[-1].hidden):
        assert all(part.is_inference() for part in state.parts)
        assert {part.dtype for part in state.parts} == {policy.bundle.dtype}
    assert steps[-1].value.is_inference()


@pytest.mark.clause("C3")
@pytest.mark.parametrize("layers", [1, 2])
def test_every_parameter_gets_a_gradient(setting: str, layers: int) -> None:
    policy = Setting(setting, learned=True, layers=layers)
    result = policy.evaluate(*sequences())
    (result.value.sum() - result.joint_log_prob.sum()).backward()
    for name, parameter in policy.bundle.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.dtype == parameter.dtype
    for name, parameter in policy.bundle.named_parameters():
        if ".initial_c" in name:
            assert parameter.grad is not None
            assert parameter.grad.any(), name


@pytest.mark.clause("C4")
def test_inference_tensors_warn_and_equal_their_copies(setting: str) -> None:
    policy = Setting(setting, learned=False)
    features, actions = sequences()
    hidden = collect(policy)[1][2].hidden
    with pytest.warns(InferenceTensorWarning, match="get_action"):
        warned = policy.evaluate(features, actions, hidden=hidden, episode_starts=STARTS)
    copied = policy.evaluate(features, actions, hidden=hidden.clone(), episode_starts=STARTS)
    assert warned.value.equal(copied.value)
    assert warned.value.requires_grad


@pytest.mark.clause("C5")
# PyTorch's own warning, when a compiled function gets a tensor with a graph.
@pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("learned", [False, True])
def test_no_value_and_no_gradient_passes_an_episode_start(setting: str, learned: bool) -> None:
    policy = Setting(setting, learned=learned)
    features, actions = sequences()
    features = features.requires_grad_()
    filled = policy.bundle.initial_hidden(3).map(lambda part: torch.full_like(part.clone(), 0.5))
    whole = policy.evaluate(features, actions, hidden=filled, episode_starts=STARTS)
    apart = policy.evaluate(features[:1, 4:], {n: a[:1, 4:] for n, a in actions.items()})
    torch.testing.assert_close(whole.value[0, 4:], apart.value[0], rtol=0, atol=policy.tolerance)
    whole.value[0, 4:].sum().backward()
    assert features.grad is not None
    assert not features.grad[0, :4].any()
    assert features.grad[0, 4:].any()


@pytest.mark.clause("C5")
def test_a_copy_cannot_stand_in_for_a_learned_initial_state(setting: str) -> None:
    policy = Setting(setting, learned=True)
    features, actions = sequences()
    hidden = policy.bundle.initial_hidden(3).clone()
    with pytest.raises(ValueError, match="episode_starts"):
        policy.evaluate(features, actions, hidden=hidden)


@pytest.mark.clause("C6", "C7")
@pytest.mark.parametrize("learned", [False, True])
def test_training_sees_what_the_rollout_saw(setting: str, learned: bool) -> None:
    policy = Setting(setting, learned=learned)
    batch, _ = collect(policy)
    result = policy.evaluate(
        batch.features, batch.actions, hidden=batch.hidden, episode_starts=batch.plan
    )
    tolerance = policy.tolerance
    torch.testing.assert_close(
        result.joint_log_prob.to(batch.log_prob), batch.log_prob, rtol=tolerance, atol=tolerance
    )
    torch.testing.assert_close(result.value.to(batch.value), batch.value, rtol=0, atol=tolerance)
    assert {part.dtype for part in result.hidden.parts} == {policy.bundle.dtype}


@pytest.mark.clause("C8")
def test_nothing_recorded_is_an_error(setting: str) -> None:
    policy = Setting(setting, learned=False)
    features, actions = sequences()
    with (
        pytest.raises(ContractError, match="underneath enable_grad"),
        torch.inference_mode(),
        torch.enable_grad(),
    ):
        policy.evaluate(features, actions)


@pytest.mark.clause("C9")
def test_a_masked_action_has_probability_zero(setting: str) -> None:
    policy = Setting(setting, learned=False)
    features, _ = sequences()
    sizes = {"op": 3, "slot": 5}
    masks = {name: torch.ones(3, 8, size, dtype=torch.bool) for name, size in sizes.items()}
    masks["op"][..., 1] = False
    with policy.context():
        logits = policy.bundle.forward(features, masks).logits["op"]
        step = policy.bundle.get_action(features[:, 0], {n: m[:, 0] for n, m in masks.items()})
    assert not logits.softmax(-1)[..., 1].any()
    assert not (step.action["op"] == 1).any()


@pytest.mark.clause("C11")
def test_the_state_dict_is_that_of_the_plain_bundle(setting: str) -> None:
    policy = Setting(setting, learned=True)
    plain = Setting(f"plain {policy.bundle.critic} {policy.bundle.cell}", learned=True)
    plain.bundle.to(policy.bundle.dtype).load_state_dict(policy.bundle.state_dict())
    assert policy.bundle.is_compiled == (policy.name == "compiled")
    pairs = zip(policy.bundle.parameters(), plain.bundle.parameters(), strict=True)
    assert all(a.equal(b) for a, b in pairs)


@pytest.mark.clause("C12")
def test_the_same_seed_gives_the_same_outputs(setting: str) -> None:
    first, second = (collect(Setting(setting, learned=True))[1][-1] for _ in range(2))
    assert first.value.equal(second.value)
    assert all(first.action[name].equal(second.action[name]) for name in HEADS)
