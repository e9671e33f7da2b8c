"""Any input gives a correct result or an error of ours that names its argument, never half."""

import math
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import tamiyo_rl
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

SOURCE = str(Path(tamiyo_rl.__file__).parent)
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


def plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {name: plain(part) for name, part in state.items()}
    return state.tolist() if isinstance(state, torch.Tensor) else state


def holds(
    names: set[str], call: Callable[[], Any], state: Callable[[], Any] = lambda: None
) -> None:
    """Call, and accept a result, or an error of ours that names an argument and changed nothing."""
    before = plain(state())
    caught: Exception | None = None
    try:
        call()
    except (TypeError, ValueError) as error:
        caught = error
    if caught is not None:
        *_, last = traceback.extract_tb(caught.__traceback__)
        assert last.filename.startswith(SOURCE), f"raised by {last.filename}: {caught!r}"
        assert str(caught).split(":", maxsplit=1)[0].split("[")[0].split(".")[0] in names, caught
        assert ": expected" in str(caught)
        assert plain(state()) == before


any_input = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=[Phase.generate],
)


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


@any_input
@given(name=st.sampled_from([n for n in STEP if n != "result"]), value=junk)
def test_a_step_of_the_buffer(name: str, value: Any) -> None:
    buffer = RolloutBuffer(make_bundle(), 2, 3)
    buffer.add(**STEP)
    holds({name}, lambda: buffer.add(**STEP | {name: value}), lambda: stored(buffer))


@any_input
@given(value=junk)
def test_the_result_of_a_step_of_the_buffer(value: Any) -> None:
    buffer = RolloutBuffer(make_bundle(), 2, 3)
    holds({"result"}, lambda: buffer.add(**STEP | {"result": value}), lambda: stored(buffer))


@any_input
@given(name=st.sampled_from(["num_envs", "num_steps", "sequence_length"]), value=junk)
def test_the_sizes_of_a_buffer(name: str, value: Any) -> None:
    sizes: dict[str, Any] = {"num_envs": 2, "num_steps": 4, "sequence_length": 2}
    holds({name, "sequence_length"}, lambda: RolloutBuffer(make_bundle(), **sizes | {name: value}))


@any_input
@given(name=st.sampled_from(["last_values", "gamma", "gae_lambda"]), value=junk)
def test_the_end_of_a_rollout(name: str, value: Any) -> None:
    buffer = RolloutBuffer(make_bundle(), 2, 1)
    buffer.add(**STEP)
    end: dict[str, Any] = {"last_values": torch.zeros(2), "gamma": 0.9, "gae_lambda": 0.9}
    holds({name}, lambda: buffer.finish(**end | {name: value}), lambda: stored(buffer))


@any_input
@given(value=junk)
def test_minibatches(value: Any) -> None:
    buffer = RolloutBuffer(make_bundle(), 2, 1)
    buffer.add(**STEP)
    buffer.finish(torch.zeros(2), gamma=0.9, gae_lambda=0.9)
    holds({"count"}, lambda: list(buffer.minibatches(value)))
    if value is not None:
        holds({"generator"}, lambda: list(buffer.minibatches(1, value)))


GAE: dict[str, Any] = {
    **{name: torch.zeros(2, 3) for name in ("rewards", "values", "next_values")},
    **{name: torch.zeros(2, 3, dtype=torch.bool) for name in ("terminated", "truncated")},
    "gamma": 0.9,
    "gae_lambda": 0.9,
}


@any_input
@given(name=st.sampled_from(list(GAE)), value=junk)
def test_advantages(name: str, value: Any) -> None:
    others = set(GAE) if name == "rewards" else {name}  # the others must be like the rewards
    holds(others, lambda: compute_gae(**GAE | {name: value}))


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


@any_input
@given(
    name=st.sampled_from(["log_prob", "advantages", "returns", "valid"]),
    part=st.sampled_from(["log_prob", "entropy", "value"]),
    value=junk,
)
def test_the_loss(name: str, part: str, value: Any) -> None:
    evaluation, batch = good_loss()
    names = {"batch", "evaluation"}
    holds(names, lambda: ppo_loss(evaluation, batch._replace(**{name: value}), 0.2))
    holds(names, lambda: ppo_loss(evaluation._replace(**{part: value}), batch, 0.2))
    holds({"evaluation"}, lambda: ppo_loss(value, batch, 0.2))
    holds({"batch"}, lambda: ppo_loss(evaluation, value, 0.2))
    holds({"clip_range"}, lambda: ppo_loss(evaluation, batch, value))


@any_input
@given(value=junk)
def test_the_feature_normalizer(value: Any) -> None:
    normalizer = FeatureNormalizer(2)
    holds({"features"}, lambda: normalizer.update(value), normalizer.state_dict)
    holds({"features"}, lambda: normalizer(value), normalizer.state_dict)
    holds({"feature_dim"}, lambda: FeatureNormalizer(value))
    holds({"state"}, lambda: normalizer.load_state_dict(value), normalizer.state_dict)


@any_input
@given(name=st.sampled_from(["mean", "var", "count", "returns"]), value=junk)
def test_the_states_of_normalizers(name: str, value: Any) -> None:
    for normalizer in (FeatureNormalizer(2), RewardScaler(2, 0.9)):
        state = normalizer.state_dict() | {name: value}
        holds({"state"}, lambda n=normalizer, s=state: n.load_state_dict(s), normalizer.state_dict)  # type: ignore[misc]  # mypy does not infer such a lambda


@any_input
@given(name=st.sampled_from(["rewards", "ended", "valid"]), value=junk)
def test_the_reward_scaler(name: str, value: Any) -> None:
    scaler = RewardScaler(2, 0.9)
    never = np.zeros(2, dtype=bool)
    call: dict[str, Any] = {"rewards": np.zeros(2), "ended": never, "valid": ~never}
    holds({name}, lambda: scaler(**call | {name: value}), scaler.state_dict)
    holds(
        {"num_envs"}, lambda: RewardScaler(value if not isinstance(value, int) else value % 9, 0.9)
    )
    holds({"gamma"}, lambda: RewardScaler(2, value))


@any_input
@given(value=junk)
def test_a_step_of_the_environments(value: Any) -> None:
    stepper = EnvironmentStepper(make_envs(num_envs=2))
    stepper.reset(seed=0)
    holds({"actions"}, lambda: stepper.step(value), lambda: stepper.steps)
    holds({"actions"}, lambda: stepper.step({"action": value}), lambda: stepper.steps)
    holds({"seed"}, lambda: stepper.reset(value), lambda: stepper.steps)


@any_input
@given(value=junk)
def test_an_evaluation(value: Any) -> None:
    bundle = make_bundle()
    envs = make_envs(num_envs=1, max_episode_steps=2)
    normalizer: Any = FeatureNormalizer(2)
    holds({"bundle"}, lambda: evaluate_policy(value, envs, normalizer))
    holds({"envs"}, lambda: evaluate_policy(bundle, value, normalizer))
    holds({"normalizer"}, lambda: evaluate_policy(bundle, envs, value), lambda: bundle.training)
    holds({"seed"}, lambda: evaluate_policy(bundle, envs, normalizer, seed=value))


@any_input
@given(value=junk)
def test_a_trainer(value: Any) -> None:
    bundle = make_bundle()
    envs = make_envs(num_envs=2)
    holds({"envs"}, lambda: RecurrentPPO(value, bundle, PPOConfig()))
    holds({"bundle"}, lambda: RecurrentPPO(envs, value, PPOConfig()))
    holds({"config"}, lambda: RecurrentPPO(envs, bundle, value))


@any_input
@given(name=st.sampled_from(list(PPOConfig.__dataclass_fields__)), value=junk)
def test_the_settings(name: str, value: Any) -> None:
    holds({name, "sequence_length"}, lambda: PPOConfig(**{name: value}))


@any_input
@given(name=st.sampled_from(["values", "returns"]), value=junk)
def test_the_explained_variance(name: str, value: Any) -> None:
    call: dict[str, Any] = {"values": torch.zeros(3), "returns": torch.arange(3.0)}
    holds({"values", "returns"}, lambda: explained_variance(**call | {name: value}))


@any_input
@given(value=junk, size=st.integers(-2, 2))
def test_making_environments(value: Any, size: int) -> None:
    if not isinstance(value, int):
        holds({"num_envs"}, lambda: make_envs("CartPole-v1", value))
    holds({"num_envs"}, lambda: make_envs("CartPole-v1", size))
    holds({"env_id"}, lambda: make_envs(value, 1))
    holds({"vectorization"}, lambda: make_envs("CartPole-v1", 1, vectorization=value))


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


@settings(any_input, max_examples=30)
@given(observations=spaces, actions=spaces)
def test_any_spaces(observations: Any, actions: Any) -> None:
    gymnasium.register("Empty-v0", lambda **_: Empty(observations, actions))
    try:
        holds({"env_id"}, lambda: train_once(make_envs("Empty-v0", 2, disable_env_checker=True)))
    finally:
        del gymnasium.registry["Empty-v0"]


def train_once(envs: Any) -> None:
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space, envs.single_action_space, hidden_dim=3
    )
    config = PPOConfig(total_steps=8, num_steps=4, sequence_length=4, num_minibatches=1, epochs=1)
    next(RecurrentPPO(envs, bundle, config).train())
