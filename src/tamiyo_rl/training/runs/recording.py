"""A video of a trained policy: `tamiyo-rl record` as a function."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from gymnasium.wrappers import RecordVideo

from tamiyo_rl.checks import describe, require_positive
from tamiyo_rl.training.checks import require_seed
from tamiyo_rl.training.rollout.evaluation import Episodes, play_episodes
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.policy import SavedPolicy
from tamiyo_rl.training.runs.settings import RunSettings
from tamiyo_rl.training.runs.task import make_task
from tamiyo_rl.training.runs.trained import load_trained
from tamiyo_rl.training.storage.files import as_path, replace_file

MAX_FRAMES = 10_000  # they stay in memory until the video is written
PIXELS = "rgb_array"


class Recording(NamedTuple):
    """A video of an episode.

    Attributes:
        path: The file.
        env: Gymnasium id of the environment.
        deterministic: Whether it took the most probable actions; else they were sampled.
        episode_return: Return of the episode.
        length: Its length, in steps.
    """

    path: Path
    env: str
    deterministic: bool
    episode_return: float
    length: int


def record_run(
    run: str | os.PathLike[str],
    video: str | os.PathLike[str] | None = None,
    *,
    env: str | None = None,
    max_steps: int = MAX_FRAMES,
    deterministic: bool = True,
    seed: int = 1000,
) -> Recording:
    """Record an episode of a trained policy as a video, as `tamiyo-rl record` does.

    It needs the extra `video`. Gymnasium's `RecordVideo` takes the pictures.

    Args:
        run: Folder of a run, finished or not, whose newest checkpoint plays; or a saved policy,
            such as `policy.pt`.
        video: The file, which ends with `.mp4`; None for `episode.mp4` in the folder of the run.
        env: Gymnasium id of another environment, in the wrappers of the run and without its
            keyword arguments; None for that of the run.
        max_steps: How long the episode may take; its frames are kept in memory.
        deterministic: Whether to take the most probable actions; False samples them, as a
            training does.
        seed: Of the environment and of sampled actions. PyTorch's own generator stays as it is.

    Raises:
        ImportError: If the extra `video` is not installed, or what the environment renders with.
        ValueError: If there is no such run or policy, it does not fit the environment, this one
            cannot render, or the episode has not ended after `max_steps`. Nothing is written then.

    Examples:
        ```python
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import FeatureNormalizer, record_run, save_policy

        bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
        save_policy("policy.pt", bundle, FeatureNormalizer(4))
        recording = record_run("policy.pt", env="CartPole-v1")
        assert recording.path.stat().st_size > 1000
        print(recording.path, recording.episode_return == recording.length)
        ```

        ```text
        episode.mp4 True
        ```
    """
    require_positive(max_steps=max_steps)
    require_seed(seed)
    _require_moviepy()
    path = _video_of(run) if video is None else as_path("video", video)
    if path.suffix != ".mp4":
        raise ValueError(f"video: expected a file that ends with .mp4, got {path}.")
    with torch.random.fork_rng(devices=[]):
        trained = load_trained(run)
        task = replace(trained.task(env), vectorization="sync")
        _require_pixels(task)
        rendered = replace(task, env_kwargs=task.env_kwargs | {"render_mode": PIXELS})
        _require_frame(rendered)
        torch.manual_seed(seed)
        played = _record(
            trained.policy, rendered, path, max_steps, deterministic=deterministic, seed=seed
        )
    (episode_return,), (length,) = played
    return Recording(path, task.env, deterministic, float(episode_return), int(length))


def _record(
    policy: SavedPolicy,
    task: RunSettings,
    path: Path,
    max_steps: int,
    *,
    deterministic: bool,
    seed: int,
) -> Episodes:
    """Play, and move the video to its place once it is whole."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "video"
        record = partial(
            RecordVideo, video_folder=str(folder), episode_trigger=lambda episode: episode == 0
        )
        with closing(make_task(task, 1, around=[record])) as envs:
            played = play_episodes(
                policy.bundle,
                envs,
                policy.normalizer,
                episodes=1,
                max_steps=max_steps,
                deterministic=deterministic,
                seed=seed,
            )
        (written,) = folder.glob("*.mp4")
        replace_file(path, written.read_bytes())
    return played


def _video_of(run: str | os.PathLike[str]) -> Path:
    path = as_path("run", run)
    return RunFolder(path.parent if path.is_file() else path).video


def _require_moviepy() -> None:
    try:
        import_module("moviepy")
    except ImportError as error:
        raise ImportError(
            "moviepy: expected it to be installed, got no such package. Install the extra video of "
            "tamiyo-rl."
        ) from error


def _require_pixels(task: RunSettings) -> None:
    """Refuse an environment that says that it has no pictures."""
    with closing(make_task(task, 1)) as envs:
        modes = envs.metadata.get("render_modes", [])
    if PIXELS not in modes:
        raise ValueError(
            f"env: expected an environment that renders as {PIXELS}, got {task.env!r}, whose "
            f"render modes are {modes}."
        )


def _require_frame(task: RunSettings) -> None:
    """Refuse an environment that cannot render here."""
    with closing(make_task(task, 1)) as envs:
        envs.reset(seed=0)
        try:
            rendered: Any = envs.render()
        except gymnasium.error.DependencyNotInstalled as error:
            raise ImportError(
                f"env: expected what {task.env!r} renders with to be installed, got {error}"
            ) from error
    frame: Any = rendered[0] if rendered else None
    if np.ndim(frame) != 3:
        raise ValueError(
            f"env: expected an environment that renders arrays of pixels, got {task.env!r}, which "
            f"rendered {describe(frame)}."
        )
