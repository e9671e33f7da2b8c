"""The promises of each clause about the bundle, beyond its example."""

import io
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tamiyo_rl import (
    HiddenState,
    LSTMPolicyBundle,
    MissingHiddenWarning,
    PolicyBundle,
)
from tamiyo_rl.policy import FactoredRecurrentActorCritic

HEADS = {"op": 3, "slot": 5, "go": 1}


def make_bundle(**settings: Any) -> LSTMPolicyBundle:
    torch.manual_seed(0)
    return LSTMPolicyBundle(4, HEADS, hidden_dim=8, **settings)


def random_masks(*steps: int) -> dict[str, torch.Tensor]:
    masks = {name: torch.rand(*steps, size) < 0.5 for name, size in HEADS.items()}
    for mask in masks.values():
        mask[..., 0] |= ~mask.any(dim=-1)
    return masks


@pytest.mark.clause("C7")
@given(seed=st.integers(0, 10_000), layers=st.integers(1, 2), learned=st.booleans())
@settings(max_examples=30, deadline=None)
def test_training_sees_what_the_rollout_saw(seed: int, layers: int, learned: bool) -> None:
    bundle = make_bundle(num_lstm_layers=layers, learn_initial_hidden=learned).to(torch.float64)
    torch.manual_seed(seed)
    for parameter in bundle.parameters():
        torch.nn.init.normal_(parameter)
    features = torch.randn(3, 12, 4).double()
    starts = torch.rand(3, 12) < 0.2
    masks = random_masks(3, 12)
    hidden = bundle.initial_hidden(3)
    steps = []
    for t in range(12):
        row_masks = {name: mask[:, t] for name, mask in masks.items()}
        steps.append(
            bundle.get_action(features[:, t], row_masks, hidden, episode_starts=starts[:, t])
        )
        hidden = steps[-1].hidden
    actions = {name: torch.stack([s.action[name] for s in steps], 1) for name in HEADS}
    first = bundle.initial_hidden(3).clone()
    result = bundle.evaluate_actions(features, actions, masks, first, episode_starts=starts)
    for name in HEADS:
        stored = torch.stack([step.log_prob[name] for step in steps], 1)
        torch.testing.assert_close(result.log_prob[name], stored, rtol=0, atol=1e-12)
    value = torch.stack([step.value for step in steps], 1)
    torch.testing.assert_close(result.value, value, rtol=0, atol=1e-12)
    torch.testing.assert_close(result.hidden.c, steps[-1].hidden.c, rtol=0, atol=1e-12)


@pytest.mark.clause("C7")
def test_get_value_returns_the_value_of_get_action() -> None:
    bundle = make_bundle()
    features = torch.randn(3, 4)
    hidden = HiddenState(torch.randn(1, 3, 8), torch.randn(1, 3, 8))
    starts = torch.tensor([True, False, True])
    step = bundle.get_action(features, hidden=hidden, episode_starts=starts)
    assert bundle.get_value(features, hidden, episode_starts=starts).equal(step.value)


@pytest.mark.clause("C9")
def test_heads_agree_with_torch_distributions() -> None:
    bundle = make_bundle()
    features = torch.randn(6, 7, 4)
    for parameter in bundle.parameters():
        torch.nn.init.normal_(parameter)
    masks = random_masks(6, 7)
    logits = bundle.forward(features).logits
    actions = {name: mask.float().argmax(-1) for name, mask in masks.items()}
    result = bundle.evaluate_actions(features, actions, masks)
    for name in HEADS:
        masked = logits[name].masked_fill(~masks[name], -1e9)
        expected = torch.distributions.Categorical(logits=masked)
        torch.testing.assert_close(result.log_prob[name], expected.log_prob(actions[name]))
        torch.testing.assert_close(result.entropy[name], expected.entropy())
    total = sum(result.log_prob[name] for name in HEADS)
    torch.testing.assert_close(result.joint_log_prob, total)


@pytest.mark.clause("C9")
def test_samples_follow_the_probabilities() -> None:
    bundle = LSTMPolicyBundle(1, {"a": 3, "b": 2}, hidden_dim=4)
    torch.nn.init.constant_(bundle.network.policy_head.weight, 0.0)  # type: ignore[union-attr, arg-type]
    probabilities = torch.tensor([0.7, 0.2, 0.1, 0.4, 0.6])
    bundle.network.policy_head.bias.data = probabilities.log()  # type: ignore[union-attr]  # the network is a FactoredRecurrentActorCritic
    torch.manual_seed(0)
    action = bundle.get_action(torch.zeros(40_000, 1)).action
    shares = [action["a"].bincount(minlength=3), action["b"].bincount(minlength=2)]
    drawn = torch.cat(shares) / 40_000
    torch.testing.assert_close(drawn, probabilities, rtol=0, atol=0.015)
    assert bundle.get_action(torch.zeros(5, 1), deterministic=True).action["b"].tolist() == [1] * 5


@pytest.mark.clause("C9")
def test_one_valid_action_has_probability_one_and_finite_gradients() -> None:
    bundle = make_bundle()
    features = torch.randn(2, 3, 4, requires_grad=True)
    masks = {name: torch.zeros(2, 3, size, dtype=torch.bool) for name, size in HEADS.items()}
    for mask in masks.values():
        mask[..., -1] = True
    actions = {name: torch.full((2, 3), size - 1) for name, size in HEADS.items()}
    result = bundle.evaluate_actions(features, actions, masks)
    assert result.joint_log_prob.eq(0).all()
    assert result.joint_entropy.eq(0).all()
    (result.joint_log_prob + result.joint_entropy).sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


@pytest.mark.clause("C5")
def test_missing_hidden_warns_at_the_line_of_the_caller() -> None:
    bundle = make_bundle()
    features = torch.zeros(2, 3, 4)
    starts = torch.tensor([[True, False, False], [False, True, False]])
    actions = {name: torch.zeros(2, 3, dtype=torch.long) for name in HEADS}
    for call in (
        lambda: bundle.forward(features, episode_starts=starts),
        lambda: bundle.evaluate_actions(features, actions, episode_starts=starts),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        assert [(w.category, w.filename) for w in caught] == [(MissingHiddenWarning, __file__)]
        assert "rows [1]" in str(caught[0].message)


@pytest.mark.clause("C3")
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_every_parameter_gets_a_gradient(learned: bool, layers: int) -> None:
    encoder = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh())
    bundle = make_bundle(learn_initial_hidden=learned, num_lstm_layers=layers, encoder=encoder)
    actions = {name: torch.zeros(2, 3, dtype=torch.long) for name in HEADS}
    result = bundle.evaluate_actions(torch.randn(2, 3, 4), actions)
    (result.joint_log_prob.sum() + result.value.sum()).backward()
    assert [n for n, p in bundle.named_parameters() if p.grad is None] == []


@pytest.mark.clause("C11")
def test_state_dict_is_loaded_whole_or_not_at_all() -> None:
    bundle = make_bundle()
    before = {name: tensor.clone() for name, tensor in bundle.state_dict().items()}
    broken = {name: tensor + 1 for name, tensor in before.items()}
    broken["value_head.bias"] = torch.zeros(2)
    with pytest.raises(ValueError, match=r"(?s)state_dict: expected .* value_head\.bias"):
        bundle.load_state_dict(broken)
    assert all(tensor.equal(before[name]) for name, tensor in bundle.state_dict().items())


@pytest.mark.clause("C11")
def test_state_dict_is_the_same_compiled_wrapped_and_plain() -> None:
    bundle = make_bundle()
    names = list(bundle.state_dict())
    bundle.compile(backend="eager")
    assert list(bundle.state_dict()) == names
    bundle.network = torch.nn.DataParallel(bundle.network)
    assert list(bundle.state_dict()) == names
    assert not bundle.is_compiled
    file = io.BytesIO()
    torch.save(bundle.state_dict(), file)
    file.seek(0)
    bundle.load_state_dict(torch.load(file, weights_only=True))


@pytest.mark.clause("C12")
def test_the_same_seed_gives_the_same_outputs_in_training_too() -> None:
    results = []
    for _ in range(2):
        bundle = make_bundle(num_lstm_layers=2)
        step = bundle.get_action(torch.randn(5, 4))
        actions = {name: action.clone()[:, None] for name, action in step.action.items()}
        results.append(bundle.evaluate_actions(torch.randn(5, 1, 4), actions).joint_log_prob)
    assert results[0].equal(results[1])


@pytest.mark.clause("C1", "C2")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_bundle_computes_in_other_floating_point_types(dtype: torch.dtype) -> None:
    bundle = make_bundle(learn_initial_hidden=True).to(dtype)
    step = bundle.get_action(torch.randn(2, 4), hidden=bundle.initial_hidden(2))
    assert step.value.dtype == step.hidden.h.dtype == bundle.initial_hidden().c.dtype == dtype
    starts = torch.tensor([[True, False, True], [True, True, False]])
    result = bundle.forward(torch.randn(2, 3, 4), episode_starts=starts)
    result.value.sum().backward()
    assert result.value.isfinite().all()


def test_under_autocast_states_keep_the_dtype_of_the_bundle() -> None:
    bundle = make_bundle()
    starts = torch.tensor([[True, False, True], [True, True, False]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        step = bundle.get_action(torch.randn(2, 4))
        result = bundle.forward(torch.randn(2, 3, 4), episode_starts=starts)
    assert step.hidden.h.dtype == result.hidden.c.dtype == torch.float32


def test_compiled_network_gives_the_same_results() -> None:
    bundle = make_bundle()
    features = torch.randn(2, 6, 4)
    starts = torch.tensor([[True, False, False, True, False, False], [True] + [False] * 5])
    plain = bundle.forward(features, episode_starts=starts)
    bundle.compile(backend="aot_eager")
    compiled = bundle.forward(features, episode_starts=starts)
    torch.testing.assert_close(compiled.value, plain.value)
    compiled.value.sum().backward()
    assert all(p.grad is not None for n, p in bundle.named_parameters() if "policy" not in n)


def test_modes_and_moves_return_the_bundle() -> None:
    bundle: PolicyBundle = make_bundle().eval().train().to("cpu")
    assert isinstance(bundle, PolicyBundle)


def test_measuring_the_encoder_leaves_it_unchanged() -> None:
    encoder = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5).eval())
    make_bundle(encoder=encoder)
    statistics = encoder[0].running_mean
    assert isinstance(statistics, torch.Tensor)
    assert not statistics.any()
    assert [module.training for module in encoder] == [True, False]


@pytest.mark.clause("C5")
def test_a_network_with_other_sizes_is_refused() -> None:
    bundle = make_bundle()
    for sizes in ({"hidden_dim": 9}, {"hidden_dim": 8, "learn_initial_hidden": True}):
        other = FactoredRecurrentActorCritic(4, 9, **sizes)  # type: ignore[arg-type]  # the sizes differ by case
        with pytest.raises(ValueError, match=r"network: expected \w+="):
            bundle.network = other
    with pytest.raises(TypeError, match=r"call bundle\.compile\(\)"):
        bundle.network = torch.nn.Linear(2, 2)


@pytest.mark.clause("C8")
@pytest.mark.parametrize("frozen", [False, True])
def test_deliberate_calls_without_training_neither_raise_nor_warn(frozen: bool) -> None:
    bundle = make_bundle(learn_initial_hidden=True)
    features = torch.zeros(2, 3, 4)
    bundle.network.requires_grad_(not frozen)
    with torch.set_grad_enabled(frozen):
        bundle.forward(features, hidden=bundle.initial_hidden(2))
        bundle.forward(features, episode_starts=torch.zeros(2, 3, dtype=torch.bool))


@pytest.mark.clause("C11")
def test_a_state_dict_without_values_is_refused_whole() -> None:
    bundle = make_bundle()
    before = {name: tensor.clone() for name, tensor in bundle.state_dict().items()}
    broken = {name: tensor + 1 for name, tensor in before.items()}
    broken["value_head.bias"] = broken["value_head.bias"].to("meta")
    with pytest.raises(ValueError, match="state_dict: expected"):
        bundle.load_state_dict(broken)
    assert all(tensor.equal(before[name]) for name, tensor in bundle.state_dict().items())


@pytest.mark.parametrize("layer", [torch.nn.Linear(5, 8), torch.nn.LSTM(4, 8)])
def test_an_encoder_that_does_not_fit_is_named_and_keeps_its_mode(layer: torch.nn.Module) -> None:
    encoder = torch.nn.Sequential(torch.nn.Dropout(), layer)
    with pytest.raises(ValueError, match="encoder: expected a module that maps"):
        make_bundle(encoder=encoder)
    assert encoder.training


def test_a_bundle_takes_a_default_dtype_of_half_precision() -> None:
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert make_bundle().dtype == torch.bfloat16
    finally:
        torch.set_default_dtype(torch.float32)


def test_settings_are_a_copy() -> None:
    bundle = make_bundle()
    bundle.settings()["action_dims"]["op"] = 99
    assert bundle.action_dims == HEADS
