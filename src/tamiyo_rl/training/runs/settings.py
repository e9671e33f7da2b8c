"""The settings of a run, and the `config.json` that keeps them."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tyro

from tamiyo_rl.checks import require_positive
from tamiyo_rl.policy.network import Critic
from tamiyo_rl.recurrent.episode_plan import Cell
from tamiyo_rl.training.checks import require_number
from tamiyo_rl.training.config import PPOConfig
from tamiyo_rl.training.envs.make import DEFAULT_TASK
from tamiyo_rl.training.runs.checkpoint import versions
from tamiyo_rl.training.runs.keyword_arguments import KeywordArguments
from tamiyo_rl.training.storage.files import replace_file

FORMAT = 2
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True)
class RunSettings:
    """The settings that define a training run.

    Attributes:
        env: Gymnasium id of the environment.
        env_kwargs: Keyword arguments of the environment, such as is_slippery=False.
        wrappers: Wrappers around each environment, the innermost first, as module:Wrapper, such as
            gymnasium.wrappers:TimeAwareObservation.
        vectorization: How environments are stepped together: by the environment's own vector
            implementation, in one process, or in a process each; None for the first of them that
            is possible.
        num_envs: Environments that are stepped together, in all processes.
        hidden_dim: Width of the LSTM.
        num_lstm_layers: Stacked layers of the LSTM.
        learn_initial_hidden: Whether the LSTM learns its initial state.
        cell: The kind of memory.
        critic: Whether the value reads the policy's LSTM, or one of its own.
        head_dims: Widths of the layers between an LSTM and each output.
        encoder: Convolutions for observations that are images; None for none.
        init_from: Saved policy with which the training begins, such as policy.pt; of the same
            sizes. None for a policy of random parameters.
        device: Where the policy is trained.
        threads: Threads of PyTorch; more than one pays for larger networks only.
        checkpoint_every: Updates from one checkpoint to the next.
        keep_checkpoints: How many checkpoints stay.
        evaluate_every: Updates from one evaluation to the next, each in environments of its own
            and with the most probable actions; the best policy is kept as best.pt. None for no
            evaluations.
        evaluate_episodes: Episodes of an evaluation.
        stop_at: Mean return of an evaluation at which the training ends; None for none.
        tensorboard: Whether to write the figures for TensorBoard too.
        ppo: Settings of PPO.

    Raises:
        TypeError: If `init_from` is no str.
        ValueError: If a count is below 1, or `stop_at` is no finite number or lacks evaluations.
    """

    env: str = DEFAULT_TASK
    env_kwargs: KeywordArguments = field(default_factory=dict)
    wrappers: tuple[str, ...] = ()
    vectorization: Literal["native", "sync", "async"] | None = None
    num_envs: int = 8
    hidden_dim: int = 64
    num_lstm_layers: int = 1
    learn_initial_hidden: Flag = False
    cell: Cell = "lstm"
    critic: Critic = "separate"
    head_dims: tuple[int, ...] = (64,)
    encoder: Literal["cnn"] | None = None
    init_from: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = 1
    checkpoint_every: int = 10
    keep_checkpoints: int = 3
    evaluate_every: int | None = None
    evaluate_episodes: int = 20
    stop_at: float | None = None
    tensorboard: Flag = False
    ppo: Annotated[PPOConfig, tyro.conf.arg(name="")] = field(default_factory=PPOConfig)

    def __post_init__(self) -> None:
        """Check the counts that nothing else checks before a run begins."""
        counts = ("num_envs", "threads", "checkpoint_every", "keep_checkpoints")
        require_positive(**{name: getattr(self, name) for name in counts})
        require_positive(evaluate_episodes=self.evaluate_episodes)
        if self.evaluate_every is not None:
            require_positive(evaluate_every=self.evaluate_every)
        self._require_json()
        if self.encoder not in (None, "cnn"):
            raise ValueError(f'encoder: expected "cnn" or None, got {self.encoder!r}.')
        if not isinstance(self.init_from, str | None):
            raise TypeError(f"init_from: expected a str or None, got {self.init_from!r}.")
        if self.stop_at is not None:
            self._require_stop()

    def _require_json(self) -> None:
        """Refuse keyword arguments that the file of the settings cannot keep."""
        try:
            kept = json.loads(json.dumps(self.env_kwargs))
        except (TypeError, ValueError):
            kept = None
        if kept != self.env_kwargs or not isinstance(kept, dict):
            raise ValueError(
                "env_kwargs: expected a dict of numbers, texts, True, False, None, and lists and "
                f"dicts of them, got {self.env_kwargs!r}."
            )

    def _require_stop(self) -> None:
        """Refuse a return at which nothing can stop."""
        require_number("stop_at", self.stop_at, -sys.float_info.max, sys.float_info.max)
        if self.evaluate_every is None:
            raise ValueError(
                f"stop_at: expected evaluations whose return can be {self.stop_at:g}, got none. "
                "Pass --evaluate-every too."
            )

    def write(self, config: Path) -> None:
        """Write the settings with the date and the versions.

        Args:
            config: The file.
        """
        content = {
            "format": FORMAT,
            "date": dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "settings": asdict(self),
        }
        replace_file(config, (json.dumps(content, indent=2) + "\n").encode())

    @classmethod
    def read(cls, config: Path) -> Self:
        """Read what `write` wrote.

        Args:
            config: The file.

        Raises:
            ValueError: If it does not hold the settings of a run in this format.
        """
        settings = _read(config)
        try:
            _require_types(settings, json.loads(json.dumps(asdict(cls()))))
            typed = {"head_dims": tuple(settings["head_dims"]), "ppo": PPOConfig(**settings["ppo"])}
            wrappers = tuple(settings.get("wrappers", ()))
            return cls(**{**settings, **typed, "wrappers": wrappers})
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(
                f"{config}: expected the settings of a run, got {type(error).__name__}: {error}"
                "\n  do: restore the file, or train again in another folder"
            ) from error


def _read(config: Path) -> Any:
    """Return what the file gives for settings."""
    try:
        content = json.loads(config.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{config.parent}: expected the folder of a run, got no {config.name} in it"
            "\n  do: pass the folder of a run that `tamiyo-rl train` began"
        ) from None
    except ValueError as error:
        raise ValueError(f"{config}: expected JSON, got {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{config}: expected format {FORMAT}, got another file or format"
            "\n  do: go on with the version of tamiyo-rl that wrote it"
        )
    return content.get("settings")


def _require_types(settings: object, like: Mapping[str, Any]) -> None:
    """Compare with the defaults, which stand for settings that are newer than the file."""
    if not isinstance(settings, Mapping) or settings.keys() - like.keys():
        raise ValueError(f"expected {sorted(like)}, got {settings!r}")
    for name, value in settings.items():
        if like[name] is not None and type(value) is not type(like[name]):
            raise TypeError(f"{name}: expected {type(like[name]).__name__}, got {value!r}")
