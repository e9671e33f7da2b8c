"""Continuous heads: the distribution, its gradients, and a policy that has heads of both kinds."""

from typing import Any, cast

import pytest
import torch
from torch.distributions import Categorical, Independent, Normal
from torch.testing import assert_close

from tamiyo_rl import ForwardResult, Gaussian, LSTMPolicyBundle
from tamiyo_rl.policy import ActionHeads

HEADS: dict[str, int | Gaussian] = {"torque": Gaussian(2), "gear": 3, "thrust": Gaussian(1)}


def make_bundle(**settings: Any) -> LSTMPolicyBundle:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(4, HEADS, hidden_dim=8, **settings).to(torch.float64)
    for parameter in bundle.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return bundle


def expected_of(result: ForwardResult, head: str) -> Any:
    """Build the distribution of a head as PyTorch has it."""
    outputs = result.logits[head]
    if head == "gear":
        return Categorical(logits=outputs)
    mean, log_std = outputs.chunk(2, dim=-1)
    return Independent(Normal(mean, log_std.exp()), 1)


def test_log_probabilities_entropies_and_gradients_are_those_of_pytorch() -> None:
    ours, theirs = make_bundle(), make_bundle()
    features = torch.randn(3, 5, 4, dtype=torch.float64)
    actions = {
        "torque": torch.randn(3, 5, 2, dtype=torch.float64),
        "gear": torch.randint(3, (3, 5)),
        "thrust": torch.randn(3, 5, 1, dtype=torch.float64),
    }
    evaluation = ours.evaluate_actions(features, actions)
    forward = theirs.forward(features)
    distributions = {head: expected_of(forward, head) for head in HEADS}
    assert list(evaluation.log_prob) == list(evaluation.entropy) == list(HEADS)
    for head, distribution in distributions.items():
        expected = distribution.log_prob(actions[head])
        assert_close(evaluation.log_prob[head], expected, atol=1e-12, rtol=0)
        assert_close(evaluation.entropy[head], distribution.entropy(), atol=1e-12, rtol=0)

    weight = torch.rand(3, 5, dtype=torch.float64)
    ((evaluation.joint_log_prob + 0.1 * evaluation.joint_entropy) * weight).sum().backward()
    joint = sum(d.log_prob(actions[h]) + 0.1 * d.entropy() for h, d in distributions.items())
    (joint * weight).sum().backward()
    for (name, own), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if not name.startswith("value_head"):
            assert own.grad is not None
            assert_close(own.grad, other.grad, atol=1e-12, rtol=0)


def test_samples_have_the_mean_and_the_deviation_of_the_network() -> None:
    bundle = make_bundle()
    features = torch.randn(1, 4, dtype=torch.float64).expand(20_000, 4)
    drawn = bundle.get_action(features).action["torque"]
    mean, log_std = bundle.forward(features[:1, None]).logits["torque"][0, 0].detach().chunk(2)
    assert_close(drawn.mean(dim=0), mean, atol=0.05, rtol=0)
    assert_close(drawn.std(dim=0), log_std.exp(), atol=0.0, rtol=0.03)
    greedy = bundle.get_action(features[:1], deterministic=True).action["torque"]
    assert_close(greedy[0], mean)


@pytest.mark.clause("C3")
def test_the_deviation_learns_from_the_policy_and_from_the_entropy() -> None:
    bundle = make_bundle()
    log_std: torch.nn.Parameter = cast("Any", bundle.network).log_std
    actions = {
        "torque": torch.ones(3, 5, 2, dtype=torch.float64),
        "gear": torch.zeros(3, 5, dtype=torch.long),
        "thrust": torch.ones(3, 5, 1, dtype=torch.float64),
    }
    evaluation = bundle.evaluate_actions(torch.zeros(3, 5, 4, dtype=torch.float64), actions)
    for term in (evaluation.joint_log_prob, evaluation.joint_entropy):
        bundle.network.zero_grad()
        term.sum().backward(retain_graph=True)
        assert log_std.grad is not None
        assert (log_std.grad != 0).all()


@pytest.mark.clause("C7")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_ratio_is_1(dtype: torch.dtype) -> None:
    bundle = make_bundle().to(dtype)
    features = torch.randn(3, 40, 4, dtype=dtype)
    hidden = bundle.initial_hidden(3)
    steps = []
    for t in range(40):
        steps.append(bundle.get_action(features[:, t], hidden=hidden))
        hidden = steps[-1].hidden
    actions = {h: torch.stack([step.action[h] for step in steps], 1).clone() for h in HEADS}
    then = torch.stack([step.joint_log_prob for step in steps], 1).clone()
    ratio = (bundle.evaluate_actions(features, actions).joint_log_prob - then).exp()
    assert (ratio - 1).abs().max() < (1e-4 if dtype == torch.float32 else 1e-12)


def test_a_policy_without_gaussian_heads_has_no_deviation() -> None:
    names = [name for name, _ in LSTMPolicyBundle(4, 2).named_parameters()]
    assert "log_std" not in names


@pytest.mark.clause("C9")
def test_masks_belong_to_the_categorical_heads() -> None:
    bundle = make_bundle()
    masks = {"gear": torch.tensor([[False, True, False]]).expand(50, 3)}
    step = bundle.get_action(torch.randn(50, 4, dtype=torch.float64), masks)
    assert step.action["gear"].unique().tolist() == [1]
    assert step.action["torque"].unique().numel() == 100


@pytest.mark.clause("C10")
@pytest.mark.parametrize("size", [0, -1, 2.0, True, "2"])
def test_a_size_that_is_none_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match="size: expected an int of at least 1"):
        Gaussian(size)


@pytest.mark.clause("C10")
def test_an_exploded_deviation_is_taken_where_values_are_not_read() -> None:
    bundle = LSTMPolicyBundle(4, Gaussian(1), validate=False)
    torch.nn.init.constant_(cast("Any", bundle.network).log_std, 100.0)
    assert not bundle.get_action(torch.zeros(2, 4)).action["action"].isfinite().any()


@pytest.mark.clause("C10")
def test_a_network_for_other_numbers_is_refused() -> None:
    bundle, other = LSTMPolicyBundle(4, Gaussian(2)), LSTMPolicyBundle(4, 2)
    with pytest.raises(ValueError, match="expected number of actions=2 as the bundle has, got 0"):
        other.network = bundle.network
    with pytest.raises(ValueError, match=r"state_dict: expected [\s\S]*log_std"):
        other.load_state_dict(bundle.state_dict())


def test_the_outputs_of_one_kind_pass_as_they_are() -> None:
    outputs = torch.randn(2, 4)
    assert ActionHeads(Gaussian(2)).split(outputs, None)["action"].equal(outputs)
    assert ActionHeads(4).split(outputs, None)["action"].equal(outputs)
