"""A video as a function: in the wrappers of a run, and of pixels only."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import FeatureNormalizer, record_run, save_policy
from tamiyo_rl.training.envs.make import DEFAULT_TASK
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.settings import RunSettings


class Picture(gymnasium.Env[Any, Any]):
    """Renders a picture of its step, or what it is told to."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 - as Gymnasium has it
    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None, *, blank: bool = False) -> None:
        self.render_mode = render_mode
        self.blank = blank

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return np.zeros(2, np.float32), 1.5, self.steps == 7, False, {}

    def render(self) -> Any:
        return None if self.blank else np.full((32, 32, 3), self.steps, np.uint8)


gymnasium.register("Picture-v0", Picture)  # type: ignore[arg-type]  # it has no arguments by position


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    bundle = LSTMPolicyBundle(feature_dim=2, action_dims=2, hidden_dim=4)
    save_policy(tmp_path / "policy.pt", bundle, FeatureNormalizer(2))
    return tmp_path / "policy.pt"


@pytest.mark.parametrize("deterministic", [True, False])
def test_it_returns_what_was_played(deterministic: bool, policy: Path) -> None:
    before = torch.get_rng_state()
    recorded = record_run(policy, env="Picture-v0", deterministic=deterministic)
    assert torch.get_rng_state().equal(before)
    assert recorded == (policy.parent / "episode.mp4", "Picture-v0", deterministic, 10.5, 7)
    assert recorded.path.read_bytes()[4:8] == b"ftyp"


def test_the_arguments_and_wrappers_of_a_run_are_used(policy: Path, tmp_path: Path) -> None:
    wrappers = ("gymnasium.wrappers:TimeAwareObservation",)
    settings = RunSettings(env=DEFAULT_TASK, env_kwargs={"x": 1}, wrappers=wrappers)
    settings.write(RunFolder(tmp_path).config)
    with pytest.raises(ValueError, match="unexpected keyword argument 'x'"):
        record_run(policy)
    with pytest.raises(ValueError, match="expected feature_dim=3 for these environments, got 2"):
        record_run(policy, env=DEFAULT_TASK)


@pytest.mark.filterwarnings("ignore:.*RGB-array rendering should return:UserWarning")
def test_an_environment_that_renders_nothing_is_named(policy: Path, tmp_path: Path) -> None:
    RunSettings(env="Picture-v0", env_kwargs={"blank": True}).write(RunFolder(tmp_path).config)
    with pytest.raises(ValueError, match=r"env: expected .* arrays of pixels, got 'Picture-v0'"):
        record_run(policy)
    assert not (tmp_path / "episode.mp4").exists()
