"""The errors of the policy: each says what was expected, what came, and what to do."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from torch import nn

from tamiyo_rl import EpisodePlan, Gaussian, LSTMPolicyBundle
from tamiyo_rl.policy import FactoredRecurrentActorCritic
from tamiyo_rl.policy.spaces import SpaceAdapter

HEADS = {"op": 3, "slot": 2}
STEP = torch.zeros(2, 4)
ROWS = torch.zeros(2, 5, 4)
STATE = torch.zeros(1, 2, 8)
ZEROS = torch.zeros(2, 5, dtype=torch.long)
ACTIONS = {"op": ZEROS, "slot": ZEROS}
VALID = torch.ones(2, 3, dtype=torch.bool)
BOX = Box(-1, 1, (3,))
OBSERVATIONS = Dict(place=Box(-1, 1, (2,)), room=Discrete(3, start=1), bag=Tuple([Discrete(2)]))
OBSERVED = {
    "place": np.zeros((4, 2)),
    "room": np.ones(4, dtype=int),
    "bag": (np.zeros(4, dtype=int),),
}
CHOSEN = torch.zeros(4, dtype=torch.long)

Cases = list[tuple[Any, str]]


class Raises(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no rows")


class Sign(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features > 0


def make_bundle(action_dims: Any = 2, **settings: Any) -> LSTMPolicyBundle:
    return LSTMPolicyBundle(4, action_dims, hidden_dim=8, **settings)


def assert_raises(message: str, call: Callable[[], object]) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value) == message


SETTINGS: Cases = [
    ({"feature_dim": 0}, "feature_dim: expected an int of at least 1, got 0."),
    ({"hidden_dim": 0}, "hidden_dim: expected an int of at least 1, got 0."),
    ({"num_lstm_layers": 0}, "num_lstm_layers: expected an int of at least 1, got 0."),
    ({"action_dims": {}}, "action_dims: expected at least one head, got an empty mapping."),
    ({"action_dims": {"op": 0}}, 'action_dims["op"]: expected an int of at least 1, got 0.'),
    ({"action_dims": {0: 2}}, "action_dims: expected heads named by strings, got 0."),
    ({"feature_dim": 4.0}, "feature_dim: expected an int of at least 1, got 4.0."),
    (
        {"feature_dim": 2**40},
        "feature_dim: expected an int of at most 2147483647, got 1099511627776.",
    ),
    ({"validate": "no"}, "validate: expected True or False, got str of 2."),
    (
        {"encoder": nn.Unflatten(1, (2, 2))},
        "encoder: expected a module that maps [N, 4] to [N, E], got [2, 2, 2] for [2, 4].",
    ),
    (
        {"encoder": Raises()},
        (
            "encoder: expected a module that maps [N, 4] to [N, E], got RuntimeError: no rows for "
            "[2, 4]."
        ),
    ),
    (
        {"encoder": nn.LSTM(4, 8)},
        "encoder: expected a module that maps [N, 4] to [N, E], got tuple for [2, 4].",
    ),
    (
        {"encoder": Sign()},
        "encoder: expected a module that maps [N, 4] to [N, E], got torch.bool for [2, 4].",
    ),
]


def unbounded_by(high: float) -> Box:
    """Make a space with a bound that Gymnasium itself would refuse."""
    space = Box(-1, 1, (1,))
    space.high = np.array([high], np.float32)
    return space


SPACES: Cases = [
    (
        (BOX, MultiBinary(3)),
        (
            "action_space: expected Box, Discrete, MultiDiscrete, or Dict and Tuple of them, got "
            "MultiBinary(3)."
        ),
    ),
    (
        (BOX, Box(0, 9, (2,), dtype=np.int64)),
        (
            "action_space: expected a Box of floating point, got Box(0, 9, (2,), int64). Whole "
            "numbers are a MultiDiscrete."
        ),
    ),
    (
        (BOX, Dict(turn=unbounded_by(np.nan))),
        (
            "action_space['turn']: expected bounds with numbers between them, got low=[-1.0] and "
            "high=[nan]."
        ),
    ),
    (
        (BOX, unbounded_by(-2.0)),
        "action_space: expected bounds with numbers between them, got low=[-1.0] and high=[-2.0].",
    ),
    (
        (Dict(image=BOX, caption=Text(8, charset="ab")), Discrete(2)),
        (
            "observation_space['caption']: expected Box, Discrete, MultiBinary, MultiDiscrete, or "
            "Dict and Tuple of them, got Text(1, 8, charset=ab)."
        ),
    ),
    (
        (BOX, Dict(move=Discrete(2), speed=Text(2, charset="ab"))),
        (
            "action_space['speed']: expected Box, Discrete, MultiDiscrete, or Dict and Tuple of "
            "them, got Text(1, 2, charset=ab)."
        ),
    ),
    (
        (BOX, Dict({"a.0": Discrete(2), "a": MultiDiscrete([2, 3])})),
        "action_space: expected keys that name each head once, got ['a', 'a.0'].",
    ),
    (
        (BOX, Dict({0: Discrete(2)})),  # type: ignore[dict-item]  # not a string
        "action_space: expected keys that are strings, got [0].",
    ),
    ((BOX, Dict()), "action_space: expected at least one action, got Dict()."),
    ((Dict(), Discrete(2)), "observation_space: expected at least one number, got Dict()."),
]

NETWORKS: Cases = [
    (
        nn.LSTM(4, 128),
        (
            "network: expected a FactoredRecurrentActorCritic or a wrapper that holds one as "
            ".module, got LSTM. To compile it call bundle.compile()."
        ),
    ),
    (
        FactoredRecurrentActorCritic(4, 2, hidden_dim=64),
        "network: expected hidden_dim=8 as the bundle has, got 64.",
    ),
]

FEATURES: Cases = [
    ([0.0] * 4, "features: expected a torch.Tensor, got list of 4."),
    (np.zeros((2, 4)), "features: expected a torch.Tensor, got ndarray of (2, 4)."),
    (torch.zeros(4), "features: expected shape [batch, features=4], got [4]."),
    (torch.zeros(2, 3), "features: expected shape [batch, features=4], got [2, 3]."),
    (ROWS, "features: expected shape [batch, features=4], got [2, 5, 4]."),
    (
        torch.zeros(0, 4),
        (
            "features: expected at least one row and one step, got [0, 4]. Leave the call out "
            "where there is nothing to evaluate."
        ),
    ),
    (
        STEP.long(),
        (
            "features: expected floating point, bool or integers of at most 16 bits, got "
            "torch.int64. Convert them with .to(torch.float32)."
        ),
    ),
    (
        STEP.to("meta"),
        (
            "features: expected a tensor on cpu, where the policy is, got one on meta. Move it "
            "with .to('cpu')."
        ),
    ),
    (STEP * torch.nan, "features: expected finite numbers, got nan at index [0, 0]."),
    (
        STEP.to_sparse(),
        "features: expected a dense tensor, got a torch.sparse_coo tensor of [2, 4].",
    ),
    (
        nn.UninitializedParameter(),
        "features: expected a dense tensor, got a UninitializedParameter without one shape.",
    ),
]

STATES: Cases = [
    (
        STATE,
        (
            "hidden: expected a pair (h, c), got a tensor of [1, 2, 8]. Pass what get_action() "
            "returned as .hidden, or HiddenState(h, c)."
        ),
    ),
    ((STATE, None), "hidden.c: expected a torch.Tensor, got None."),
    (
        (torch.zeros(2, 2, 8), STATE),
        "hidden.h: expected shape [layers=1, batch=2, hidden=8], got [2, 2, 8].",
    ),
    (
        (STATE, torch.zeros(1, 3, 8)),
        "hidden.c: expected shape [layers=1, batch=2, hidden=8], got [1, 3, 8].",
    ),
    (
        (STATE.long(), STATE),
        "hidden.h: expected floating point, got torch.int64. Use .float().",
    ),
    (
        (STATE, STATE + torch.inf),
        "hidden.c: expected finite numbers, got inf at index [0, 0, 0].",
    ),
]

STARTS: Cases = [
    (
        torch.zeros(2, 4, dtype=torch.bool),
        "episode_starts: expected shape [batch=2, time=5], got [2, 4].",
    ),
    (
        EpisodePlan(torch.zeros(3, 5, dtype=torch.bool)),
        "episode_starts: expected shape [batch=2, time=5], got [3, 5].",
    ),
    (
        torch.zeros(2, 5),
        "episode_starts: expected torch.bool, got torch.float32. Convert with .bool().",
    ),
    (
        torch.zeros(2, 5, dtype=torch.bool, device="meta"),
        (
            "episode_starts: expected a tensor on cpu, where the policy is, got one on meta. Move "
            "it with .to('cpu')."
        ),
    ),
]

WRONG_HEADS = "expected a mapping with one tensor for each of the heads ['op', 'slot'], got"
WRONG_ACTIONS: Cases = [
    (ZEROS, f"actions: {WRONG_HEADS} a tensor of [2, 5]."),
    ({"op": ZEROS}, f"actions: {WRONG_HEADS} ['op']."),
    (ACTIONS | {"speed": ZEROS}, f"actions: {WRONG_HEADS} ['op', 'slot', 'speed']."),
    (
        ACTIONS | {"slot": [[0] * 5] * 2},
        'actions["slot"]: expected a torch.Tensor, got list of 2.',
    ),
    (
        ACTIONS | {"slot": ZEROS.float()},
        'actions["slot"]: expected an integer dtype, got torch.float32. Use .long().',
    ),
    (
        ACTIONS | {"slot": ZEROS + 2},
        'actions["slot"]: expected indices from 0 to 1, got 2 at index [0, 0].',
    ),
    (
        ACTIONS | {"op": ZEROS - 1},
        'actions["op"]: expected indices from 0 to 2, got -1 at index [0, 0].',
    ),
]

WRONG_MASKS: Cases = [
    (
        VALID,
        (
            "masks: expected a mapping with one tensor for each of the heads ['op'], got a tensor "
            "of [2, 3]."
        ),
    ),
    (
        {"opp": VALID},
        "masks: expected a mapping with one tensor for each of the heads ['op'], got ['opp'].",
    ),
    ({"op": VALID[:, :2]}, 'masks["op"]: expected shape [batch=2, actions=3], got [2, 2].'),
    ({"op": VALID.int()}, 'masks["op"]: expected torch.bool, got torch.int32. Use .bool().'),
    (
        {"op": VALID & torch.tensor([[True], [False]])},
        'masks["op"]: expected a valid action in each row, got [False, False, False] at index [1].',
    ),
]
FORBIDDEN = 'actions["action"]: expected an action that its mask allows, got 1 at index [0, 0].'

OBSERVED_WRONGLY: Cases = [
    (
        {"hall": CHOSEN},
        (
            "observations: expected the parts ['place', 'room', 'bag'] of the space, got ['place', "
            "'room', 'bag', 'hall']."
        ),
    ),
    ({"bag": 0}, "observations['bag']: expected the parts [0] of the space, got int."),
    ({"bag": ()}, "observations['bag']: expected the parts [0] of the space, got []."),
    ({"place": np.zeros((4, 3))}, "observations['place']: expected shape [B, 2], got [4, 3]."),
    (
        {"place": np.zeros((3, 2))},
        "observations['room']: expected 3 rows as observations['place'] has, got 4.",
    ),
    (
        {"place": [[0.0], [0.0, 0.0]]},
        "observations['place']: expected an array, got list of 2.",
    ),
    (
        {"room": np.ones(4)},
        "observations['room']: expected integers for Discrete(3, start=1), got float64.",
    ),
    (
        {"room": np.array([1, 2, 3, 0])},
        "observations['room']: expected indices from 1 to 3, got 0 at index [3].",
    ),
]

NUMBERS = torch.zeros(2, 5, 2)
NUMBERS_WRONGLY: Cases = [
    (
        NUMBERS[..., 0],
        'actions["torque"]: expected shape [batch=2, time=5, numbers=2], got [2, 5].',
    ),
    (
        NUMBERS.long(),
        'actions["torque"]: expected floating point, got torch.int64. Use .float().',
    ),
    (
        NUMBERS / 0,
        'actions["torque"]: expected finite numbers, got nan at index [0, 0, 0].',
    ),
]
NO_MASK = (
    "masks: expected None, since a mask is for categorical heads and each head here is a Gaussian, "
    "got dict of 1."
)
EXPLODED = (
    "log_std: expected standard deviations that torch.float32 can hold, got exp(-100) in number 1 "
    'of the head "torque". Lower the learning rate or the weight of the entropy.'
)
MOVED_WRONGLY: Cases = [
    (torch.zeros(2, 3), 'actions["b"]: expected shape [batch=2, numbers=2], got [2, 3].'),
    (torch.zeros(1, 2), 'actions["b"]: expected shape [batch=2, numbers=2], got [1, 2].'),
    (
        torch.zeros(2, 2).long(),
        'actions["b"]: expected the values of floating point, got torch.int64.',
    ),
    (
        torch.zeros(2, 2, device="meta"),
        'actions["b"]: expected the values of floating point, got a tensor on meta.',
    ),
    (
        torch.zeros(2, 2).log(),
        'actions["b"]: expected finite numbers, got -inf at index [0, 0].',
    ),
]

CHOSEN_WRONGLY: Cases = [
    (
        {"0": CHOSEN},
        "actions: expected a mapping with one tensor for each of the heads ['0', '1'], got ['0'].",
    ),
    (
        {"0": CHOSEN, "1": CHOSEN + 5},
        'actions["1"]: expected indices from 0 to 4, got 5 at index [0].',
    ),
    (
        {"0": CHOSEN, "1": CHOSEN.float()},
        'actions["1"]: expected the values of integers, got torch.float32.',
    ),
]

NO_DEVICE = "device: expected a device of this machine, got 'nowhere'."
SCATTERED = (
    "network: expected every parameter on cpu in torch.float32, got encoder.weight on cpu in "
    "torch.float64. Move all of them with bundle.to(device, dtype)."
)
CUT = (
    "episode_starts: expected a tensor with hidden, since the initial state is learned, got None. "
    "A copy of initial_hidden() would cut its gradient: say where episodes begin, or pass "
    "hidden=None."
)

MESSAGES = [
    *(
        message
        for cases in (
            *(SETTINGS, SPACES, NETWORKS, FEATURES, STATES, STARTS, WRONG_ACTIONS, WRONG_MASKS),
            *(OBSERVED_WRONGLY, CHOSEN_WRONGLY, NUMBERS_WRONGLY, MOVED_WRONGLY),
        )
        for _, message in cases
    ),
    *(FORBIDDEN, NO_DEVICE, SCATTERED, CUT, NO_MASK, EXPLODED),
]


@pytest.mark.parametrize(("settings", "message"), SETTINGS)
def test_settings(settings: dict[str, Any], message: str) -> None:
    good = {"feature_dim": 4, "action_dims": 2}
    assert_raises(message, lambda: LSTMPolicyBundle(**good | settings))


@pytest.mark.parametrize(("spaces", "message"), SPACES)
def test_spaces(spaces: tuple[Any, Any], message: str) -> None:
    assert_raises(message, lambda: LSTMPolicyBundle.from_spaces(*spaces))


@pytest.mark.parametrize(("network", "message"), NETWORKS)
def test_network(network: Any, message: str) -> None:
    bundle = make_bundle()
    assert_raises(message, lambda: setattr(bundle, "network", network))


@pytest.mark.parametrize(("features", "message"), FEATURES)
def test_features(features: Any, message: str) -> None:
    assert_raises(message, lambda: make_bundle().get_action(features))


@pytest.mark.parametrize(("hidden", "message"), STATES)
def test_hidden(hidden: Any, message: str) -> None:
    assert_raises(message, lambda: make_bundle().get_value(STEP, hidden))


@pytest.mark.parametrize("size", [0, 2.5, True])
def test_batch_size(size: Any) -> None:
    message = f"batch_size: expected an int of at least 1, got {size}."
    assert_raises(message, lambda: make_bundle().initial_hidden(size))


@pytest.mark.parametrize(("starts", "message"), STARTS)
def test_episode_starts(starts: Any, message: str) -> None:
    assert_raises(message, lambda: make_bundle().forward(ROWS, episode_starts=starts))


@pytest.mark.parametrize(("actions", "message"), WRONG_ACTIONS)
def test_actions(actions: Any, message: str) -> None:
    assert_raises(message, lambda: make_bundle(HEADS).evaluate_actions(ROWS, actions))


@pytest.mark.parametrize(("masks", "message"), WRONG_MASKS)
def test_masks(masks: Any, message: str) -> None:
    assert_raises(message, lambda: make_bundle({"op": 3}).get_action(STEP, masks))


@pytest.mark.parametrize(("action", "message"), NUMBERS_WRONGLY)
def test_continuous_actions(action: Any, message: str) -> None:
    bundle = make_bundle({"torque": Gaussian(2)})
    assert_raises(message, lambda: bundle.evaluate_actions(ROWS, {"torque": action}))


def test_mask_for_a_gaussian_head() -> None:
    masks = {"torque": torch.ones(2, 2, dtype=torch.bool)}
    bundle = make_bundle({"torque": Gaussian(2)})
    assert_raises(NO_MASK, lambda: bundle.get_action(STEP, masks))


def test_deviation_that_vanishes() -> None:
    bundle = make_bundle({"torque": Gaussian(2)})
    torch.nn.init.constant_(cast("Any", bundle.network).log_std[1:], -100.0)
    actions = {"torque": NUMBERS}
    assert_raises(EXPLODED, lambda: bundle.get_action(STEP))
    assert_raises(EXPLODED, lambda: bundle.evaluate_actions(ROWS, actions))


@pytest.mark.parametrize(("action", "message"), MOVED_WRONGLY)
def test_continuous_actions_for_the_environment(action: Any, message: str) -> None:
    adapter = SpaceAdapter(OBSERVATIONS, Dict(a=Discrete(2), b=Box(-1, 1, (2,))))
    assert_raises(message, lambda: adapter.actions({"a": torch.zeros(2).long(), "b": action}))


def test_action_that_its_mask_forbids() -> None:
    masks = {"action": torch.tensor([[[True, False]]])}
    actions = {"action": torch.tensor([[1]])}
    bundle = make_bundle()
    assert_raises(FORBIDDEN, lambda: bundle.evaluate_actions(ROWS[:1, :1], actions, masks))


@pytest.mark.parametrize(("change", "message"), OBSERVED_WRONGLY)
def test_observations(change: dict[str, Any], message: str) -> None:
    adapter = SpaceAdapter(OBSERVATIONS, Discrete(2))
    assert_raises(message, lambda: adapter.features(OBSERVED | change))


@pytest.mark.parametrize(("actions", "message"), CHOSEN_WRONGLY)
def test_actions_for_the_environment(actions: dict[str, Any], message: str) -> None:
    adapter = SpaceAdapter(OBSERVATIONS, MultiDiscrete([2, 5]))
    assert_raises(message, lambda: adapter.actions(actions))


def test_device_of_features() -> None:
    adapter = SpaceAdapter(OBSERVATIONS, Discrete(2))
    assert_raises(NO_DEVICE, lambda: adapter.features(OBSERVED, device="nowhere"))


def test_encoder_of_another_dtype_is_named_and_can_be_moved() -> None:
    bundle = make_bundle(encoder=nn.Linear(4, 8, dtype=torch.float64))
    assert_raises(SCATTERED, lambda: bundle.get_value(STEP))
    assert bundle.to(torch.float32).get_value(STEP).dtype == torch.float32


def test_copy_of_a_learned_initial_state() -> None:
    bundle = make_bundle(learn_initial_hidden=True)
    hidden = bundle.initial_hidden(2).clone()
    assert_raises(CUT, lambda: bundle.forward(ROWS, hidden=hidden))


def test_error_of_an_encoder_comes_through_as_it_is() -> None:
    class Picky(nn.Linear):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            if len(features) > 4:
                raise RuntimeError("too many rows for this encoder")
            return super().forward(features)

    bundle = make_bundle(encoder=Picky(4, 8))
    with pytest.raises(RuntimeError, match=r"^too many rows for this encoder$"):
        bundle.get_value(torch.zeros(8, 4))
