"""`RecurrentPPO` of sb3-contrib and ours: the same steps, losses, gradients and models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO as TheirRecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from tamiyo_rl.integrations import sb3_contrib as ours
from tamiyo_rl.integrations.sb3_contrib import RecurrentPPO
from tamiyo_rl.recurrent.episode_plan import EpisodePlan

pytestmark = pytest.mark.field

OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "MlpLstmPolicy": spaces.Box(-1, 1, (3,), np.float32),
    "MultiInputLstmPolicy": spaces.Dict(
        place=spaces.Box(-1, 1, (2,), np.float32), room=spaces.Discrete(3)
    ),
    "CnnLstmPolicy": spaces.Box(0, 255, (36, 36, 1), np.uint8),
}
ACTIONS: dict[str, spaces.Space[Any]] = {
    "Discrete": spaces.Discrete(4),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "Box": spaces.Box(-1, 1, (2,), np.float32),
}
MEMORIES: dict[str, dict[str, Any]] = {
    "separate": {},
    "shared": {"shared_lstm": True, "enable_critic_lstm": False},
    "no critic LSTM": {"enable_critic_lstm": False},
    "two layers": {"n_lstm_layers": 2},
}


class Short(gymnasium.Env[Any, Any]):
    """Episodes of one to seven steps."""

    def __init__(self, observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
        self.observation_space = observations
        self.action_space = actions

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.left = int(self.np_random.integers(1, 8))
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        reward = float(np.sum(action)) / 4
        return self.observation_space.sample(), reward, self.left == 0, False, {}


def make(
    kind: type[Any],
    policy: str = "MlpLstmPolicy",
    actions: str = "Discrete",
    memory: str = "separate",
    **settings: Any,
) -> Any:
    def make_env() -> gymnasium.Env[Any, Any]:
        return Short(OBSERVATIONS[policy], ACTIONS[actions])

    return kind(
        policy,
        DummyVecEnv([make_env] * 3),
        n_steps=16,
        batch_size=20,  # cuts rows, and leaves a smaller minibatch
        n_epochs=2,
        seed=0,
        device="cpu",
        policy_kwargs={"lstm_hidden_size": 8, **MEMORIES[memory]},
        **settings,
    )


class KeepRollout(BaseCallback):
    """Stops where the training of a rollout would begin."""

    def _on_step(self) -> bool:
        return True


def collected(kind: type[Any], *args: Any, **kwargs: Any) -> Any:
    model = make(kind, *args, **kwargs)
    model._setup_learn(48)
    callback = KeepRollout()
    callback.init_callback(model)
    assert model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    return model


def losses_of(model: Any) -> list[tuple[torch.Tensor, ...]]:
    """Return what the policy gives for each minibatch, without padding, and the gradients."""
    np.random.seed(3)  # noqa: NPY002 - sb3-contrib draws from it
    results = []
    for data in model.rollout_buffer.get(model.batch_size):
        actions = data.actions
        if isinstance(model.action_space, spaces.Discrete):
            actions = actions.long().flatten()
        values, log_prob, entropy = model.policy.evaluate_actions(
            data.observations, actions, data.lstm_states, data.episode_starts
        )
        mask = data.mask > 1e-8
        kept = (values.flatten()[mask], log_prob[mask], entropy[mask])
        loss = sum(part.square().mean() for part in kept)
        model.policy.zero_grad()
        loss.backward()  # type: ignore[union-attr]  # to mypy a sum may be the int 0
        gradients = [p.grad for p in model.policy.parameters() if p.grad is not None]
        steps = (data.old_values, data.old_log_prob, data.advantages, data.returns)
        results.append((*(part[mask] for part in steps), *kept, *gradients))
    return results


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("actions", ACTIONS)
@pytest.mark.parametrize("policy", ["MlpLstmPolicy", "MultiInputLstmPolicy"])
def test_minibatches_give_what_those_of_the_original_give(
    policy: str, actions: str, memory: str
) -> None:
    require_the_same(policy, actions, memory)


def test_a_convolutional_policy_gives_what_the_original_gives() -> None:
    require_the_same("CnnLstmPolicy", "Discrete", "separate")


def require_the_same(policy: str, actions: str, memory: str) -> None:
    got, expected = (
        losses_of(collected(kind, policy, actions, memory))
        for kind in (RecurrentPPO, TheirRecurrentPPO)
    )
    assert len(got) == len(expected) == 3
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_row_is_a_stretch_of_an_environment_and_nothing_is_padded() -> None:
    model = collected(RecurrentPPO)
    np.random.seed(0)  # noqa: NPY002 - as above
    for data in model.rollout_buffer.get(model.batch_size):
        assert isinstance(data.episode_starts, EpisodePlan)
        rows, longest = data.episode_starts.shape
        assert rows <= 4
        assert longest <= 16
        assert len(data.actions) in {20, 8}
        assert data.episode_starts.resets > 0


def test_a_training_follows_that_of_the_original() -> None:
    parameters = []
    for kind in (RecurrentPPO, TheirRecurrentPPO):
        model = make(kind)
        model.learn(3 * 48)
        parameters.append([p.detach() for p in model.policy.parameters()])
    torch.testing.assert_close(*parameters, rtol=0, atol=1e-4)


def test_normalised_environments_and_callbacks_work_unchanged() -> None:
    env = VecNormalize(DummyVecEnv([lambda: Short(OBSERVATIONS["MlpLstmPolicy"], ACTIONS["Box"])]))
    model = RecurrentPPO("MlpLstmPolicy", env, n_steps=16, batch_size=16, seed=0, device="cpu")
    model.learn(32, callback=KeepRollout())
    action, state = model.predict(env.reset(), episode_start=np.ones(1, bool))
    assert action.shape == (1, 2)
    assert state is not None


@pytest.mark.parametrize(
    ("saves", "loads"), [(RecurrentPPO, TheirRecurrentPPO), (TheirRecurrentPPO, RecurrentPPO)]
)
def test_saved_models_load_in_both(saves: type[Any], loads: type[Any], tmp_path: Path) -> None:
    model = make(saves)
    model.learn(48)
    model.save(tmp_path / "model.zip")
    loaded = loads.load(tmp_path / "model.zip", env=model.env, device="cpu")
    assert type(loaded.policy) is type(model.policy) is RecurrentActorCriticPolicy
    observation = OBSERVATIONS["MlpLstmPolicy"].sample()
    one, other = (m.predict(observation, deterministic=True)[0] for m in (model, loaded))
    assert one == other
    loaded.learn(48)


def test_a_saved_model_loads_where_this_package_is_not_installed(tmp_path: Path) -> None:
    model = RecurrentPPO("MlpLstmPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu")
    model.learn(8)
    model.save(tmp_path / "model.zip")
    code = (
        "import sys; sys.modules['tamiyo_rl'] = None; from sb3_contrib import RecurrentPPO; "
        f"print(RecurrentPPO.load({str(tmp_path / 'model.zip')!r}).num_timesteps)"
    )
    finished = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert finished.stdout == "8\n", finished.stderr


class OwnSequences(RecurrentActorCriticPolicy):
    @staticmethod
    def _process_sequence(*args: Any) -> Any:
        return RecurrentActorCriticPolicy._process_sequence(*args)


def test_a_policy_with_sequences_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match="policy: expected one that runs its LSTM as sb3-contrib"):
        RecurrentPPO(OwnSequences, "CartPole-v1")


@pytest.mark.parametrize("option", [{"bidirectional": True}, {"proj_size": 4}])
def test_an_lstm_that_is_not_supported_is_refused(option: dict[str, Any]) -> None:
    (name,) = option
    policy = {"lstm_kwargs": option}
    with pytest.raises(ValueError, match=f"{name}: expected"):
        RecurrentPPO("MlpLstmPolicy", "CartPole-v1", policy_kwargs=policy, device="cpu")


def test_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "TESTED", "2.1.")
    with pytest.raises(ImportError, match=r"sb3_contrib: expected version 2\.1\.x, .*, got 2\.9"):
        make(RecurrentPPO)
