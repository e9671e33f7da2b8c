"""Any input gives a correct result, or an error of ours that names its argument."""

import math
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tamiyo_rl import EpisodePlan, EvalResult, LSTMPolicyBundle
from tamiyo_rl.training import (
    EnvironmentStepper,
    FeatureNormalizer,
    PPOConfig,
    RecurrentPPO,
    RewardScaler,
    RolloutBatch,
    RolloutBuffer,
    compute_gae,
    evaluate_policy,
    explained_variance,
    make_envs,
    ppo_loss,
)
from tests.strategies import result_or_our_error, stable

DTYPES = [
    *(torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8),
    *(torch.bool, torch.complex64),
]
SHAPES = [(), (1,), (2,), (3,), (2, 2), (2, 3), (3, 2), (2, 3, 4), (0,), (2, 0)]


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    """Tensors of many shapes, types and places; among them what is not a number."""
    shape = draw(st.sampled_from(SHAPES))
    dtype = draw(st.sampled_from(DTYPES))
    if draw(st.integers(0, 9)) == 0:
        return torch.empty(shape, dtype=dtype, device="meta")
    fills = [0, 1, 5, -1, math.nan, math.inf, 1e30] if dtype.is_floating_point else [0, 1, 5]
    with torch.inference_mode(mode=draw(st.booleans())):
        return torch.full(shape, draw(st.sampled_from(fills)), dtype=dtype)


numbers = st.one_of(st.integers(-3, 5), st.floats(), st.booleans())
junk = st.one_of(
    tensors(),
    numbers,
    st.none(),
    st.text(max_size=3),
    st.lists(st.one_of(numbers, st.text(max_size=2), st.none()), max_size=4),
    st.dictionaries(st.sampled_from(["action", "op", "x"]), tensors(), max_size=2),
    st.tuples(tensors(), tensors()),
    tensors()
    .filter(lambda t: t.device.type == "cpu" and t.dtype != torch.bfloat16)
    .map(lambda t: t.numpy()),
    st.just(object()),
)


def state_of(normalizer: FeatureNormalizer | RewardScaler) -> list[Any]:
    return [torch.as_tensor(part).tolist() for part in normalizer.state_dict().values()]


def make_bundle() -> LSTMPolicyBundle:
    torch.manual_seed(0)
    return LSTMPolicyBundle(2, 2, hidden_dim=3)


def good_step(bundle: LSTMPolicyBundle) -> dict[str, Any]:
    features = torch.zeros(2, 2)
    hidden = bundle.initial_hidden(2)
    starts = torch.ones(2, dtype=torch.bool)
    never = torch.zeros(2, dtype=torch.bool)
    return {
        "features": features,
        "result": bundle.get_action(features, hidden=hidden, episode_starts=starts),
        "hidden": hidden,
        "episode_starts": starts,
        "rewards": torch.zeros(2),
        "terminated": never,
        "truncated": never,
        "masks": {"action": torch.ones(2, 2, dtype=torch.bool)},
        "final_values": torch.zeros(2),
        "valid": ~never,
    }


def stored(buffer: RolloutBuffer) -> list[Any]:
    return [buffer._step, buffer._plan is None]


STEP = good_step(make_bundle())


@stable(40)
@given(name=st.sampled_from([n for n in STEP if n != "result"]), value=junk)
def test_any_step_is_stored_or_named(name: str, value: Any) -> None:
    buffer = RolloutBuffer(make_bundle(), 2, 3)
    buffer.add(**STEP)
    result_or_our_error(lambda: buffer.add(**STEP | {name: value}), {name}, lambda: stored(buffer))


@stable(40)
@given(value=junk)
def test_any_result_of_a_step_is_stored_or_named(value: Any) -> None:
    buffer = RolloutBuffer(make_bundle(), 2, 3)
    result_or_our_error(
        lambda: buffer.add(**STEP | {"result": value}), {"result"}, lambda: stored(buffer)
    )


@stable(40)
@given(name=st.sampled_from(["num_envs", "num_steps", "sequence_length"]), value=junk)
def test_any_sizes_make_a_buffer_or_are_named(name: str, value: Any) -> None:
    bundle = make_bundle()
    sizes: dict[str, Any] = {"num_envs": 2, "num_steps": 4, "sequence_length": 2}
    names = {name, "sequence_length"}
    result_or_our_error(lambda: RolloutBuffer(bundle, **sizes | {name: value}), names)


@stable(40)
@given(name=st.sampled_from(["last_values", "gamma", "gae_lambda"]), value=junk)
def test_any_end_of_a_rollout_is_taken_or_named(name: str, value: Any) -> None:
    buffer = RolloutBuffer(make_bundle(), 2, 1)
    buffer.add(**STEP)
    end: dict[str, Any] = {"last_values": torch.zeros(2), "gamma": 0.9, "gae_lambda": 0.9}
    result_or_our_error(
        lambda: buffer.finish(**end | {name: value}), {name}, lambda: stored(buffer)
    )


@stable(40)
@given(value=junk)
def test_any_minibatches_are_drawn_or_named(value: Any) -> None:
    buffer = RolloutBuffer(make_bundle(), 2, 1)
    buffer.add(**STEP)
    buffer.finish(torch.zeros(2), gamma=0.9, gae_lambda=0.9)
    result_or_our_error(lambda: list(buffer.minibatches(value)), {"count"})
    if value is not None:
        result_or_our_error(lambda: list(buffer.minibatches(1, value)), {"generator"})


GAE: dict[str, Any] = {
    **{name: torch.zeros(2, 3) for name in ("rewards", "values", "next_values")},
    **{name: torch.zeros(2, 3, dtype=torch.bool) for name in ("terminated", "truncated")},
    "gamma": 0.9,
    "gae_lambda": 0.9,
}


@stable(40)
@given(name=st.sampled_from(list(GAE)), value=junk)
def test_any_advantages_are_computed_or_named(name: str, value: Any) -> None:
    others = set(GAE) if name == "rewards" else {name}  # the others must be like the rewards
    result_or_our_error(lambda: compute_gae(**GAE | {name: value}), others)


def good_loss() -> tuple[EvalResult, RolloutBatch]:
    bundle = make_bundle()
    ones = torch.ones(2, 3)
    actions = {"action": torch.zeros(2, 3, dtype=torch.long)}
    evaluation = bundle.evaluate_actions(torch.zeros(2, 3, 2), actions)
    batch = RolloutBatch(
        torch.zeros(2, 3, 2),
        actions,
        None,
        bundle.initial_hidden(2).clone(),
        EpisodePlan(ones.bool()),
        ones,
        ones,
        ones,
        ones,
        ones.bool(),
    )
    return evaluation, batch


@stable(40)
@given(
    name=st.sampled_from(["log_prob", "advantages", "returns", "valid"]),
    part=st.sampled_from(["log_prob", "entropy", "value"]),
    value=junk,
)
def test_any_loss_is_computed_or_named(name: str, part: str, value: Any) -> None:
    evaluation, batch = good_loss()
    names = {"batch", "evaluation"}
    result_or_our_error(lambda: ppo_loss(evaluation, batch._replace(**{name: value}), 0.2), names)
    result_or_our_error(lambda: ppo_loss(evaluation._replace(**{part: value}), batch, 0.2), names)
    result_or_our_error(lambda: ppo_loss(value, batch, 0.2), {"evaluation"})
    result_or_our_error(lambda: ppo_loss(evaluation, value, 0.2), {"batch"})
    result_or_our_error(lambda: ppo_loss(evaluation, batch, value), {"clip_range"})


@stable(40)
@given(value=junk)
def test_any_features_are_normalized_or_named(value: Any) -> None:
    normalizer = FeatureNormalizer(2)
    result_or_our_error(
        lambda: normalizer.update(value), {"features"}, partial(state_of, normalizer)
    )
    result_or_our_error(lambda: normalizer(value), {"features"}, partial(state_of, normalizer))
    result_or_our_error(lambda: FeatureNormalizer(value), {"feature_dim"})
    result_or_our_error(
        lambda: normalizer.load_state_dict(value), {"state"}, partial(state_of, normalizer)
    )


@stable(40)
@given(name=st.sampled_from(["mean", "var", "count", "returns"]), value=junk)
def test_any_state_of_a_normalizer_is_loaded_or_named(name: str, value: Any) -> None:
    for normalizer in (FeatureNormalizer(2), RewardScaler(2, 0.9)):
        state = normalizer.state_dict() | {name: value}
        load = partial(normalizer.load_state_dict, state)
        result_or_our_error(load, {"state"}, partial(state_of, normalizer))


@stable(40)
@given(name=st.sampled_from(["rewards", "ended", "valid"]), value=junk)
def test_any_rewards_are_scaled_or_named(name: str, value: Any) -> None:
    scaler = RewardScaler(2, 0.9)
    never = np.zeros(2, dtype=bool)
    call: dict[str, Any] = {"rewards": np.zeros(2), "ended": never, "valid": ~never}
    result_or_our_error(lambda: scaler(**call | {name: value}), {name}, partial(state_of, scaler))
    result_or_our_error(
        lambda: RewardScaler(value if not isinstance(value, int) else value % 9, 0.9), {"num_envs"}
    )
    result_or_our_error(lambda: RewardScaler(2, value), {"gamma"})


@stable(40)
@given(value=junk)
def test_any_actions_are_stepped_or_named(value: Any) -> None:
    stepper = EnvironmentStepper(make_envs(num_envs=2))
    stepper.reset(seed=0)
    result_or_our_error(lambda: stepper.step(value), {"actions"}, lambda: stepper.steps)
    result_or_our_error(lambda: stepper.step({"action": value}), {"actions"}, lambda: stepper.steps)
    result_or_our_error(lambda: stepper.reset(value), {"seed"}, lambda: stepper.steps)


@stable(40)
@given(value=junk)
def test_any_evaluation_runs_or_is_named(value: Any) -> None:
    bundle = make_bundle()
    envs = make_envs(num_envs=1, max_episode_steps=2)
    normalizer: Any = FeatureNormalizer(2)
    result_or_our_error(lambda: evaluate_policy(value, envs, normalizer), {"bundle"})
    result_or_our_error(lambda: evaluate_policy(bundle, value, normalizer), {"envs"})
    result_or_our_error(
        lambda: evaluate_policy(bundle, envs, value), {"normalizer"}, lambda: bundle.training
    )
    result_or_our_error(lambda: evaluate_policy(bundle, envs, normalizer, seed=value), {"seed"})


@stable(40)
@given(value=junk)
def test_any_arguments_make_a_trainer_or_are_named(value: Any) -> None:
    bundle = make_bundle()
    envs = make_envs(num_envs=2)
    result_or_our_error(lambda: RecurrentPPO(value, bundle, PPOConfig()), {"envs"})
    result_or_our_error(lambda: RecurrentPPO(envs, value, PPOConfig()), {"bundle"})
    result_or_our_error(lambda: RecurrentPPO(envs, bundle, value), {"config"})


@stable(40)
@given(name=st.sampled_from(list(PPOConfig.__dataclass_fields__)), value=junk)
def test_any_setting_is_taken_or_named(name: str, value: Any) -> None:
    result_or_our_error(lambda: PPOConfig(**{name: value}), {name, "sequence_length"})


@stable(40)
@given(name=st.sampled_from(["values", "returns"]), value=junk)
def test_any_explained_variance_is_computed_or_named(name: str, value: Any) -> None:
    call: dict[str, Any] = {"values": torch.zeros(3), "returns": torch.arange(3.0)}
    result_or_our_error(lambda: explained_variance(**call | {name: value}), {"values", "returns"})


@stable(40)
@given(value=junk, size=st.integers(-2, 2))
def test_any_arguments_make_environments_or_are_named(value: Any, size: int) -> None:
    if not isinstance(value, int):
        result_or_our_error(lambda: make_envs("CartPole-v1", value), {"num_envs"})
    result_or_our_error(lambda: make_envs("CartPole-v1", size), {"num_envs"})
    result_or_our_error(lambda: make_envs(value, 1), {"env_id"})
    result_or_our_error(lambda: make_envs("CartPole-v1", 1, vectorization=value), {"vectorization"})


spaces = st.recursive(
    st.sampled_from(
        [
            gymnasium.spaces.Box(-1, 1, (2,)),
            gymnasium.spaces.Box(0, 255, (2, 2), np.uint8),
            gymnasium.spaces.Discrete(3),
            gymnasium.spaces.MultiBinary(2),
            gymnasium.spaces.MultiDiscrete([2, 3]),
            gymnasium.spaces.Text(3),
            gymnasium.spaces.Graph(gymnasium.spaces.Discrete(2), None),
        ]
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2).map(gymnasium.spaces.Tuple),
        st.dictionaries(st.sampled_from("ab"), inner, min_size=1).map(gymnasium.spaces.Dict),
    ),
    max_leaves=4,
)


class Empty(gymnasium.Env[Any, Any]):
    """Has spaces, and samples its observations."""

    def __init__(self, observation_space: Any, action_space: Any) -> None:
        self.observation_space = observation_space
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        return self.observation_space.sample(), 1.0, bool(self.np_random.random() < 0.3), False, {}


@stable(30)
@given(observations=spaces, actions=spaces)
def test_any_spaces_are_trained_on_or_named(observations: Any, actions: Any) -> None:
    gymnasium.register("Empty-v0", lambda **_: Empty(observations, actions))
    try:
        result_or_our_error(
            lambda: train_once(make_envs("Empty-v0", 2, disable_env_checker=True)), {"env_id"}
        )
    finally:
        del gymnasium.registry["Empty-v0"]


def train_once(envs: Any) -> None:
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space, envs.single_action_space, hidden_dim=3
    )
    config = PPOConfig(total_steps=8, num_steps=4, sequence_length=4, num_minibatches=1, epochs=1)
    next(RecurrentPPO(envs, bundle, config).train())
