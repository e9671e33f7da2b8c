"""`check_consistency` and `check_ratio` let correct code pass and name each mistake."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tamiyo_rl import ContractError, LSTMPolicyBundle, check_consistency, check_ratio
from tests.strategies import each_change, junk, result_or_our_error, stable, tampered

pytestmark = pytest.mark.clause("C7")

STARTS = torch.zeros(8, 24, dtype=torch.bool)
STARTS[:, 0] = True
STARTS[::2, 12] = True


def rollout(bundle: LSTMPolicyBundle) -> tuple[torch.Tensor, Any, dict[str, torch.Tensor]]:
    """Return features, actions, and what the rollout stored."""
    features = torch.randn(8, 24, 4, dtype=bundle.dtype)
    hidden = bundle.initial_hidden(8)
    steps: list[Any] = []
    for t in range(24):
        steps.append(bundle.get_action(features[:, t], hidden=hidden, episode_starts=STARTS[:, t]))
        hidden = steps[-1].hidden
    actions = {"action": torch.stack([step.action["action"] for step in steps], dim=1)}
    log_prob = torch.stack([step.joint_log_prob for step in steps], dim=1)
    value = torch.stack([step.value for step in steps], dim=1)
    return features, actions, {"log_prob": log_prob, "value": value}


def compute_in_training(bundle: LSTMPolicyBundle, features: Any, actions: Any, starts: Any) -> Any:
    result = bundle.evaluate_actions(features, actions, episode_starts=starts)
    return {"log_prob": result.joint_log_prob, "value": result.value}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_right_training_passes_in_every_type(dtype: torch.dtype) -> None:
    bundle = LSTMPolicyBundle(4, 2).to(dtype)
    features, actions, old = rollout(bundle)
    check_consistency(compute_in_training(bundle, features, actions, STARTS), old)


def test_ignored_resets_show_in_the_values_of_a_policy_at_its_initialisation() -> None:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(4, 2)
    features, actions, old = rollout(bundle)
    new = compute_in_training(
        bundle, features, actions, STARTS[:, :1].expand(8, 24) & (torch.arange(24) == 0)
    )
    check_ratio((new["log_prob"] - old["log_prob"]).exp(), new["log_prob"])
    with pytest.raises(ContractError, match=r"^value: .* off by 0\.0\d+ at row [0246], step 1\d"):
        check_consistency(new, old)


def test_amplified_rounding_is_named_as_a_cause_and_gone_in_float64() -> None:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(4, 2)
    with torch.no_grad():
        bundle.network.core.weight_hh_l0.mul_(20)  # type: ignore[operator, union-attr]
    features, actions, old = rollout(bundle)
    new = compute_in_training(bundle, features, actions, STARTS)
    with pytest.raises(ContractError, match=r"amplify rounding.*\n.*float64"):
        check_consistency(new, old, tolerance=1e-9)
    bundle.to(torch.float64)
    features, actions, old = rollout(bundle)
    check_consistency(compute_in_training(bundle, features, actions, STARTS), old)


@pytest.mark.parametrize("garbage", [7.0, torch.nan, torch.inf])
def test_padding_is_not_compared(garbage: float) -> None:
    new = torch.randn(3, 5, requires_grad=True)
    mask = torch.arange(5) < torch.tensor([[5], [3], [0]])
    old = torch.where(mask, new.detach(), garbage)
    check_consistency({"log_prob": new}, {"log_prob": old}, mask=mask)
    check_ratio((new - old).exp(), new, mask=mask)
    with pytest.raises(ContractError, match="log_prob: expected"):
        check_consistency({"log_prob": new}, {"log_prob": old})


def test_a_step_that_counts_is_compared_beside_padding() -> None:
    new = torch.zeros(2, 3)
    old = torch.tensor([[0.0, 0.0, 9.0], [0.0, 0.5, 9.0]])
    mask = torch.tensor([[True, True, False]] * 2)
    with pytest.raises(ContractError, match=r"value: .* off by 0.5 at row 1, step 1"):
        check_consistency({"value": new}, {"value": old}, mask=mask)


def test_nothing_is_compared_if_no_step_counts() -> None:
    none = torch.zeros(2, 3, dtype=torch.bool)
    check_consistency({"value": torch.zeros(2, 3)}, {"value": torch.ones(2, 3)}, mask=none)
    meta = torch.zeros(2, 3, device="meta")
    check_consistency({"value": meta}, {"value": meta})


def test_nan_is_a_difference() -> None:
    with pytest.raises(ContractError, match=r"value: .* off by inf at index"):
        check_consistency({"value": torch.tensor([torch.nan])}, {"value": torch.zeros(1)})


def test_large_values_may_differ_by_their_rounding() -> None:
    check_consistency({"value": torch.tensor([1e6 + 1])}, {"value": torch.tensor([1e6])})


VALUE = torch.zeros(2, 3)
OK = {"value": VALUE}


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"new": [VALUE]}, TypeError, "new: expected a mapping"),
        ({"old": None}, TypeError, "old: expected a mapping"),
        ({"new": {"value": 1.0}}, TypeError, r"new\['value'\]: expected a dense floating point"),
        ({"new": {}, "old": {}}, ValueError, "old: expected the quantities of new"),
        ({"old": {"values": VALUE}}, ValueError, "old: expected the quantities of new"),
        ({"old": {"value": VALUE.T}}, ValueError, r"old\['value'\]: expected the shape"),
        ({"mask": VALUE}, TypeError, "mask: expected a bool tensor"),
        ({"mask": [True]}, TypeError, "mask: expected a bool tensor"),
        ({"mask": VALUE.T.bool()}, ValueError, "mask: expected the shape"),
        ({"tolerance": -1}, ValueError, "tolerance: expected a number of at least 0, got -1"),
        ({"tolerance": True}, ValueError, "tolerance: expected a number of at least 0, got True"),
    ],
)
def test_bad_quantities_name_the_argument(given: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        check_consistency(**{"new": OK, "old": OK} | given)


@given(
    new=st.just(OK) | tampered(VALUE).map(lambda value: {"value": value}) | junk(),
    old=st.just(OK) | tampered(VALUE).map(lambda value: {"value": value}) | junk(),
    mask=st.none() | tampered(VALUE.bool()) | junk(),
    tolerance=st.none() | junk(),
)
@stable(250)
def test_any_input_gives_a_result_or_an_error_of_ours(**given: Any) -> None:
    result_or_our_error(lambda: check_consistency(**given), given)


LOG_PROB = torch.tensor([-1.0, -2.0], requires_grad=True)
RATIO = (LOG_PROB - LOG_PROB.detach()).exp()
RATIO_64 = RATIO.double()


@given(
    ratio=st.just(RATIO) | tampered(RATIO) | junk(),
    log_prob=st.just(LOG_PROB) | tampered(LOG_PROB) | junk(),
    tolerance=st.just(1e-3) | junk(),
    grad=st.booleans(),
)
@stable(250)
def test_any_ratio_passes_or_is_named(
    ratio: Any, log_prob: Any, tolerance: Any, grad: bool
) -> None:
    with torch.set_grad_enabled(grad):
        result_or_our_error(
            lambda: check_ratio(ratio, log_prob, tolerance=tolerance),
            ["ratio", "log_prob", "tolerance"],
        )
        check_ratio(RATIO, LOG_PROB)
        check_ratio(RATIO_64, LOG_PROB)


@pytest.mark.parametrize("name", ["ratio", "log_prob"])
def test_each_changed_ratio_passes_or_is_named(name: str) -> None:
    good: dict[str, Any] = {"ratio": RATIO, "log_prob": LOG_PROB}
    for changed in each_change(good[name]):
        result_or_our_error(partial(check_ratio, **good | {name: changed}), good)


def test_a_ratio_whose_graph_is_gone_is_an_error_of_ours() -> None:
    ratio = (LOG_PROB - LOG_PROB.detach()).exp()
    ratio.sum().backward(inputs=[LOG_PROB])
    with pytest.raises(ValueError, match="ratio: expected a graph that is still there"):
        check_ratio(ratio, LOG_PROB)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratio": torch.zeros(0), "log_prob": torch.zeros(0)}, "ratio: expected at least one"),
        (
            {"log_prob": torch.zeros(2, device="meta")},
            "ratio: expected the shape and device of log_prob",
        ),
        ({"tolerance": -1}, "tolerance: expected a number of at least 0, got -1"),
        ({"tolerance": float("nan")}, "tolerance: expected a number of at least 0, got nan"),
    ],
)
def test_a_ratio_that_cannot_be_checked_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_ratio(**{"ratio": RATIO, "log_prob": LOG_PROB} | change)


@pytest.mark.parametrize(
    ("ratio", "message"),
    [
        ("swapped", "another derivative"),
        ("shifted", "expected 1"),
        ("nan", "expected 1"),
        ("constant", "no dependence"),
    ],
)
def test_each_wrong_ratio_is_refused(ratio: str, message: str) -> None:
    new = torch.tensor([-0.5, -1.0], requires_grad=True)
    old = new.detach().clone()
    wrong = {
        "swapped": (old - new).exp(),
        "shifted": (new - old + 0.1).exp(),
        "nan": (new - old) * float("nan"),
        "constant": (old - old).exp(),
    }[ratio]
    with pytest.raises(ContractError, match=message):
        check_ratio(wrong, new)


def test_checking_the_ratio_leaves_the_graph_usable() -> None:
    new = torch.tensor([-0.5], requires_grad=True)
    ratio = (new - new.detach()).exp()
    check_ratio(ratio, new)
    ratio.sum().backward()
    assert new.grad is not None
