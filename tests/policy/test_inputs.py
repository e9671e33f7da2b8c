"""Bad input raises an error of ours that names the argument, before anything has run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete

from tamiyo_rl import EpisodePlan, HiddenState, LSTMPolicyBundle

pytestmark = pytest.mark.clause("C10")

STATE = torch.zeros(2, 3, 8)
LONG = torch.zeros(3, 5, dtype=torch.long)
BOOL = torch.zeros(3, 5, dtype=torch.bool)
MASK = torch.ones(3, 5, 4, dtype=torch.bool)

TRAINING: list[tuple[str, dict[str, Any]]] = [
    ("features", {"features": None}),
    ("features", {"features": [[0.0]]}),
    ("features", {"features": torch.zeros(5, 3)}),
    ("features", {"features": torch.zeros(3, 5, 2)}),
    ("features", {"features": torch.zeros(3, 5, 3, 1)}),
    ("features", {"features": torch.zeros(0, 5, 3)}),
    ("features", {"features": torch.zeros(3, 0, 3)}),
    ("features", {"features": torch.zeros(3, 5, 3, dtype=torch.complex64)}),
    ("features", {"features": torch.zeros(3, 5, 3, dtype=torch.int32)}),
    ("features", {"features": torch.zeros(3, 5, 3, device="meta")}),
    ("features", {"features": torch.full((3, 5, 3), torch.nan)}),
    ("features", {"features": torch.full((3, 5, 3), -torch.inf)}),
    ("features", {"features": torch.full((3, 5, 3), 1e300, dtype=torch.float64)}),
    ("actions", {"actions": torch.tensor(0)}),
    ("masks", {"masks": torch.tensor(1)}),
    ("hidden", {"hidden": torch.tensor(0.0)}),
    ("actions", {"actions": None}),
    ("actions", {"actions": LONG}),
    ("actions", {"actions": {}}),
    ("actions", {"actions": {"op": LONG, "more": LONG}}),
    ("actions", {"actions": {"po": LONG}}),
    ('actions["op"]', {"actions": {"op": 3}}),
    ('actions["op"]', {"actions": {"op": LONG[:2]}}),
    ('actions["op"]', {"actions": {"op": LONG[:, :4]}}),
    ('actions["op"]', {"actions": {"op": LONG[..., None]}}),
    ('actions["op"]', {"actions": {"op": LONG.float()}}),
    ('actions["op"]', {"actions": {"op": BOOL}}),
    ('actions["op"]', {"actions": {"op": LONG.to("meta")}}),
    ('actions["op"]', {"actions": {"op": LONG - 1}}),
    ('actions["op"]', {"actions": {"op": LONG + 4}}),
    ('actions["op"]', {"masks": {"op": MASK & torch.tensor([False, True, True, True])}}),
    ("masks", {"masks": MASK}),
    ("masks", {"masks": {"po": MASK}}),
    ('masks["op"]', {"masks": {"op": MASK[..., :3]}}),
    ('masks["op"]', {"masks": {"op": MASK[0]}}),
    ('masks["op"]', {"masks": {"op": MASK.to(torch.int8)}}),
    ('masks["op"]', {"masks": {"op": MASK.to("meta")}}),
    ('masks["op"]', {"masks": {"op": ~MASK}}),
    ("hidden", {"hidden": STATE}),
    ("hidden", {"hidden": (STATE,)}),
    ("hidden", {"hidden": {"h": STATE, "c": STATE}}),
    ("hidden.h", {"hidden": (None, STATE)}),
    ("hidden.h", {"hidden": HiddenState(torch.zeros(1, 3, 8), STATE)}),
    ("hidden.c", {"hidden": HiddenState(STATE, torch.zeros(2, 4, 8))}),
    ("hidden.c", {"hidden": HiddenState(STATE, torch.zeros(2, 3, 7))}),
    ("hidden.c", {"hidden": HiddenState(STATE, STATE.long())}),
    ("hidden.c", {"hidden": HiddenState(STATE, STATE.to(torch.float8_e5m2))}),
    ("hidden.c", {"hidden": HiddenState(STATE, STATE.to("meta"))}),
    ("hidden.h", {"hidden": HiddenState(STATE / 0, STATE)}),
    ("episode_starts", {"episode_starts": [True]}),
    ("episode_starts", {"episode_starts": BOOL[0]}),
    ("episode_starts", {"episode_starts": BOOL.T}),
    ("episode_starts", {"episode_starts": BOOL.long()}),
    ("episode_starts", {"episode_starts": BOOL.to("meta")}),
    ("episode_starts", {"episode_starts": EpisodePlan(BOOL[:2])}),
]


def make_bundle(**settings: Any) -> tuple[LSTMPolicyBundle, list[object]]:
    bundle = LSTMPolicyBundle(3, {"op": 4}, hidden_dim=8, num_lstm_layers=2, **settings)
    runs: list[object] = []
    bundle.network.register_forward_hook(lambda *_: runs.append(1))
    return bundle, runs


@pytest.mark.parametrize(("name", "bad"), TRAINING)
def test_a_training_call_names_each_bad_input(name: str, bad: dict[str, Any]) -> None:
    bundle, runs = make_bundle()
    good: dict[str, Any] = {"features": torch.zeros(3, 5, 3), "actions": {"op": LONG}}
    with pytest.raises((TypeError, ValueError)) as caught:
        bundle.evaluate_actions(**good | bad)
    assert str(caught.value).startswith(f"{name}: expected ")
    assert ", got " in str(caught.value)
    assert not runs


def at_step(value: Any) -> Any:
    """Take the first step of the arguments, for a rollout call."""
    if isinstance(value, dict):
        return {name: at_step(part) for name, part in value.items()}
    return value[:, 0] if isinstance(value, torch.Tensor) and value.dim() > 1 else value


ROLLOUT = [
    case
    for case in TRAINING
    if "actions" not in case[1]
    and not case[0].startswith("actions")
    and "hidden" not in case[1]
    and 0 not in getattr(case[1].get("features"), "shape", ())
    and not isinstance(case[1].get("episode_starts"), EpisodePlan)
]


@pytest.mark.parametrize(("name", "bad"), ROLLOUT)
def test_a_rollout_call_names_each_bad_input(name: str, bad: dict[str, Any]) -> None:
    bundle, runs = make_bundle()
    with pytest.raises((TypeError, ValueError), match="expected") as caught:
        bundle.get_action(**{"features": torch.zeros(3, 3)} | at_step(bad))
    assert str(caught.value).startswith(f"{name}: expected ")
    assert not runs


HIDDEN = [case for case in TRAINING if "hidden" in case[1]]


@pytest.mark.parametrize(("name", "bad"), HIDDEN)
def test_rollout_call_refuses_hidden(name: str, bad: dict[str, Any]) -> None:
    bundle, runs = make_bundle()
    for call in (bundle.get_action, bundle.get_value):
        with pytest.raises((TypeError, ValueError), match="expected") as caught:
            call(torch.zeros(3, 3), **bad, episode_starts=BOOL[:, 0])
        assert str(caught.value).startswith(f"{name}: expected ")
    assert not runs


def test_a_step_as_the_rollout_takes_it_is_checked_as_any_other() -> None:
    bundle, _ = make_bundle()
    features = torch.randn(3, 3)
    usual = bundle.get_action(torch.randn(3, 3)).hidden
    other = [part.double() for part in usual]
    starts = torch.tensor([True, False, False])
    quick = bundle.get_value(features, usual, episode_starts=starts)
    slow = bundle.get_value(features.double(), other, episode_starts=starts)  # type: ignore[arg-type]  # a list will do
    assert quick.equal(slow)
    for bad, name in ((features / 0, "features"), (features[:2], "hidden.h")):
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            bundle.get_value(bad, usual)
    with pytest.raises(ValueError, match=r"^hidden\.h: expected finite numbers"):
        bundle.get_value(features, HiddenState(usual.h * torch.nan, usual.c))


def test_learned_state_with_hidden_needs_episode_starts() -> None:
    bundle, runs = make_bundle(learn_initial_hidden=True)
    with pytest.raises(ValueError, match="episode_starts: expected"):
        bundle.forward(torch.zeros(3, 5, 3), hidden=HiddenState(STATE, STATE))
    assert not runs


@pytest.mark.parametrize("value", [0, -1, 1.0, True, None, "2"])
def test_sizes_are_positive_ints(value: Any) -> None:
    bundle, _ = make_bundle()
    good: dict[str, Any] = {"feature_dim": 3, "action_dims": 2}
    calls: list[tuple[str, Callable[[], object]]] = [
        (name, lambda name=name: LSTMPolicyBundle(**good | {name: value}))  # type: ignore[misc]  # mypy does not infer such a lambda
        for name in ("feature_dim", "hidden_dim", "num_lstm_layers", "action_dims")
    ]
    for name, call in [*calls, ("batch_size", lambda: bundle.initial_hidden(value))]:
        with pytest.raises(ValueError, match=rf"^{name}.*: expected an int of at least 1, got"):
            call()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.uint8, torch.bool])
def test_observations_that_cast_safely_are_cast(dtype: torch.dtype) -> None:
    bundle, _ = make_bundle()
    assert bundle.forward(torch.ones(3, 5, 3).to(dtype)).value.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int32])
def test_actions_may_be_small_integers(dtype: torch.dtype) -> None:
    bundle, _ = make_bundle()
    bundle.evaluate_actions(torch.ones(3, 5, 3), {"op": LONG.to(dtype)})


def test_values_are_not_read_without_validate_but_shapes_are() -> None:
    bundle, _ = make_bundle(validate=False)
    assert bundle.forward(torch.full((3, 5, 3), torch.nan)).value.isnan().all()
    with pytest.raises(ValueError, match="features: expected shape"):
        bundle.forward(torch.zeros(3, 5, 2))


def test_other_heads_of_the_mask_are_checked_by_row() -> None:
    bundle, _ = make_bundle()
    mask = MASK.clone()
    mask[2, 3] = False
    with pytest.raises(ValueError, match=r'masks\["op"\].*at index \[2, 3\]'):
        bundle.forward(torch.zeros(3, 5, 3), {"op": mask})


def test_sizes_may_be_integers_of_other_libraries() -> None:
    bundle = LSTMPolicyBundle(np.int64(3), Discrete(4).n, hidden_dim=np.int32(8))  # type: ignore[arg-type]  # integers of NumPy are taken too
    assert bundle.action_dims == {"action": 4}


def test_huge_finite_numbers_are_not_taken_for_infinite() -> None:
    bundle, _ = make_bundle()
    assert bundle.forward(torch.full((3, 5, 3), 3e38)).value.isfinite().all()
