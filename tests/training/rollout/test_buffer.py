"""The buffer: ordinary tensors, no shared memory, and the states that the rollout had."""

from typing import Any

import pytest
import torch

from tamiyo_rl import Gaussian, LSTMPolicyBundle, find_inference_tensors
from tamiyo_rl.training import RolloutBatch, RolloutBuffer

pytestmark = pytest.mark.clause("C6", "C7")

STEPS = 12
ENVS = 3


def make_bundle() -> LSTMPolicyBundle:
    torch.manual_seed(0)
    heads: dict[str, int | Gaussian] = {"op": 3, "torque": Gaussian(2), "slot": 2}
    return LSTMPolicyBundle(4, heads, hidden_dim=8, learn_initial_hidden=True)


def fill(bundle: LSTMPolicyBundle, buffer: RolloutBuffer, *, masked: bool = False) -> None:
    hidden = bundle.initial_hidden(ENVS)
    starts = torch.ones(ENVS, dtype=torch.bool)
    for _ in range(STEPS):
        features = torch.randn(ENVS, 4)
        ended = torch.rand(ENVS) < 0.2
        masks = {"op": torch.tensor([[True, False, True]] * ENVS), "slot": torch.ones(ENVS, 2) > 0}
        chosen = masks if masked else None
        step = bundle.get_action(features, chosen, hidden, episode_starts=starts)
        never = torch.zeros(ENVS, dtype=torch.bool)
        buffer.add(
            features,
            step,
            hidden=hidden,
            episode_starts=starts,
            rewards=torch.randn(ENVS),
            terminated=ended,
            truncated=never,
            masks=chosen,
        )
        hidden = step.hidden
        starts = ended
    buffer.finish(torch.zeros(ENVS), gamma=0.9, gae_lambda=0.9)


def evaluate(bundle: LSTMPolicyBundle, batch: RolloutBatch) -> Any:
    return bundle.evaluate_actions(
        batch.features,
        batch.actions,
        batch.masks,
        batch.hidden,
        episode_starts=batch.plan,
    )


@pytest.mark.parametrize("length", [1, 3, 4, 12])
@pytest.mark.parametrize("masked", [False, True])
def test_sequences_reproduce_the_rollout(length: int, masked: bool) -> None:
    bundle = make_bundle()
    for parameter in bundle.parameters():
        torch.nn.init.normal_(parameter)
    buffer = RolloutBuffer(bundle, ENVS, STEPS, sequence_length=length)
    fill(bundle, buffer, masked=masked)
    seen = 0
    for batch in buffer.minibatches(3):
        result = evaluate(bundle, batch)
        torch.testing.assert_close(result.joint_log_prob, batch.log_prob, atol=1e-5, rtol=0)
        torch.testing.assert_close(result.value, batch.value, atol=1e-5, rtol=0)
        assert (batch.masks is not None) == masked
        seen += int(batch.valid.sum())
    assert seen == ENVS * STEPS


@pytest.mark.parametrize("phase", ["built", "filled", "sampled"])
def test_batches_are_ordinary_tensors_even_under_inference_mode(phase: str) -> None:
    bundle = make_bundle()
    with torch.inference_mode(mode=phase == "built"):
        buffer = RolloutBuffer(bundle, ENVS, STEPS, sequence_length=4)
    with torch.inference_mode(mode=phase == "filled"):
        fill(bundle, buffer)
    with torch.inference_mode(mode=phase == "sampled"):
        batches = list(buffer.minibatches(3))
        mode_while_iterating = [torch.is_inference_mode_enabled() for _ in buffer.minibatches(3)]
    assert mode_while_iterating == [phase == "sampled"] * 3
    for batch in batches:
        assert not find_inference_tensors(batch=batch)
        evaluate(bundle, batch).value.sum().backward()


def test_a_batch_shares_no_memory_with_the_buffer() -> None:
    bundle = make_bundle()
    buffer = RolloutBuffer(bundle, ENVS, STEPS)
    fill(bundle, buffer)
    batch = next(buffer.minibatches(1))
    before = [batch.features.clone(), batch.hidden.h.clone(), batch.log_prob.clone()]
    buffer.reset()
    fill(bundle, buffer)
    after = [batch.features, batch.hidden.h, batch.log_prob]
    assert all(a.equal(b) for a, b in zip(before, after, strict=True))


def test_tensors_with_a_graph_leave_it_behind() -> None:
    bundle = make_bundle()
    buffer = RolloutBuffer(bundle, ENVS, 1)
    features = torch.randn(ENVS, 4, requires_grad=True)
    hidden = bundle.initial_hidden(ENVS)
    starts = torch.ones(ENVS, dtype=torch.bool)
    step = bundle.get_action(features.detach(), hidden=hidden, episode_starts=starts)
    rewards = [0.0] * ENVS
    never = [False] * ENVS
    buffer.add(
        features * 2,
        step,
        hidden=hidden,
        episode_starts=starts,
        rewards=rewards,
        terminated=never,
        truncated=never,
    )
    buffer.finish(torch.zeros(ENVS), gamma=0.9, gae_lambda=0.9)
    assert not next(buffer.minibatches(1)).features.requires_grad


def test_each_row_comes_once_in_an_order_that_the_generator_decides() -> None:
    bundle = make_bundle()
    buffer = RolloutBuffer(bundle, ENVS, STEPS, sequence_length=4)
    fill(bundle, buffer)
    orders = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(3)
        batches = list(buffer.minibatches(9, generator))
        orders.append(torch.cat([batch.features for batch in batches]))
    assert orders[0].equal(orders[1])
    assert len({tuple(row.flatten().tolist()) for row in orders[0]}) == 9


def test_epochs_give_the_minibatches_of_as_many_calls() -> None:
    bundle = make_bundle()
    buffer = RolloutBuffer(bundle, ENVS, STEPS, sequence_length=4)
    fill(bundle, buffer)
    one, other = (torch.Generator().manual_seed(3) for _ in range(2))
    together = [batch.features for batch in buffer.minibatches(3, one, epochs=2)]
    apart = [batch.features for _ in range(2) for batch in buffer.minibatches(3, other)]
    assert all(a.equal(b) for a, b in zip(together, apart, strict=True))
    assert not torch.cat(together[:3]).equal(torch.cat(together[3:]))


def test_misuse_of_the_buffer_is_named() -> None:
    bundle = make_bundle()
    with pytest.raises(ValueError, match="sequence_length: expected a divisor of num_steps=12"):
        RolloutBuffer(bundle, ENVS, STEPS, sequence_length=5)
    with pytest.raises(ValueError, match="num_envs: expected an int of at least 1"):
        RolloutBuffer(bundle, 0, STEPS)
    buffer = RolloutBuffer(bundle, ENVS, STEPS)
    with pytest.raises(ValueError, match=r"expected 12 steps before finish\(\), got 0"):
        buffer.finish(torch.zeros(ENVS), gamma=0.9, gae_lambda=0.9)
    with pytest.raises(ValueError, match=r"expected finish\(\) before minibatches"):
        buffer.minibatches(1)
    fill(bundle, buffer)
    with pytest.raises(ValueError, match="expected at most 12 steps"):
        fill(bundle, buffer)
    with pytest.raises(ValueError, match="count: expected a divisor of the 3 rows, got 2"):
        buffer.minibatches(2)
    with pytest.raises(ValueError, match="epochs: expected an int of at least 1, got 0"):
        buffer.minibatches(1, epochs=0)
    batches = buffer.minibatches(3)
    next(batches)
    buffer.reset()
    fill(bundle, buffer)
    with pytest.raises(ValueError, match="minibatches: expected the rollout they came from"):
        next(batches)


def make_step(bundle: LSTMPolicyBundle) -> dict[str, Any]:
    hidden = bundle.initial_hidden(ENVS)
    starts = torch.ones(ENVS, dtype=torch.bool)
    features = torch.zeros(ENVS, 4)
    never = [False] * ENVS
    return {
        "features": features,
        "result": bundle.get_action(features, hidden=hidden, episode_starts=starts),
        "hidden": hidden,
        "episode_starts": starts,
        "rewards": [0.0] * ENVS,
        "terminated": never,
        "truncated": never,
    }


WRONG: list[tuple[str, Any]] = [
    ("features", torch.zeros(4)),
    ("features", torch.zeros(1, 4)),
    ("features", [[0.0] * 4] * ENVS),
    ("hidden", None),
    ("hidden", (torch.zeros(1, 1, 8), torch.zeros(1, ENVS, 8))),
    ("episode_starts", torch.zeros(ENVS)),
    ("episode_starts", [1.0] * ENVS),
    ("rewards", 1.0),
    ("rewards", ["a"] * ENVS),
    ("terminated", False),
    ("truncated", [False] * 2),
    ("final_values", torch.zeros(ENVS, 1)),
    ("masks", torch.ones(ENVS, 3)),
    ("masks", {"op": torch.ones(ENVS, 3) > 0}),
]


@pytest.mark.clause("C10")
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_bad_input_is_named_and_nothing_is_stored(name: str, value: Any) -> None:
    bundle = make_bundle()
    buffer = RolloutBuffer(bundle, ENVS, STEPS)
    with pytest.raises((TypeError, ValueError), match=f"^{name}.*: expected"):
        buffer.add(**make_step(bundle) | {name: value})
    fill(bundle, buffer)  # all of its steps are still free


def test_masks_of_one_rollout_do_not_reach_the_next() -> None:
    bundle = make_bundle()
    buffer = RolloutBuffer(bundle, ENVS, STEPS)
    fill(bundle, buffer, masked=True)
    buffer.reset()
    fill(bundle, buffer)
    batch = next(buffer.minibatches(1))
    assert batch.masks is None
    torch.testing.assert_close(evaluate(bundle, batch).joint_log_prob, batch.log_prob)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rewards", [0.0, float("nan"), 0.0]),
        ("final_values", torch.full((ENVS,), torch.inf)),
    ],
)
def test_numbers_that_are_not_finite_are_named_with_environment_and_step(
    name: str, value: Any
) -> None:
    bundle = make_bundle()
    buffer = RolloutBuffer(bundle, ENVS, 1)
    buffer.add(**make_step(bundle) | {"terminated": [True] * ENVS, name: value})
    with pytest.raises(ValueError, match=rf"^{name}: .* from environment [01] at step 0 of the"):
        buffer.finish(torch.zeros(ENVS), gamma=0.9, gae_lambda=0.9)
    buffer.reset()
    buffer.add(**make_step(bundle))
    buffer.finish(torch.zeros(ENVS), gamma=0.9, gae_lambda=0.9)


@pytest.mark.parametrize("value", [torch.zeros(ENVS, 1), torch.full((ENVS,), torch.nan), [0.0]])
def test_last_values_are_checked(value: Any) -> None:
    bundle = make_bundle()
    buffer = RolloutBuffer(bundle, ENVS, 1)
    buffer.add(**make_step(bundle))
    with pytest.raises((TypeError, ValueError), match="last_values: expected"):
        buffer.finish(value, gamma=0.9, gae_lambda=0.9)
