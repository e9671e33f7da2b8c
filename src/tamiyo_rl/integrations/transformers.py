"""A callback for the `Trainer` of transformers."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tamiyo_rl.contract.watch import WatchReport
from tamiyo_rl.integrations.watching import Watching


class WatchCallback(TrainerCallback):
    """Watches `train()`, as `watch_training` does.

    Args:
        raise_if_broken: Whether a broken training raises at its end; else it is logged.
    """

    def __init__(self, *, raise_if_broken: bool = False) -> None:
        self._watching = Watching(raise_if_broken=raise_if_broken)

    @property
    def report(self) -> WatchReport | None:
        """The report of the training that ended last; None before."""
        return self._watching.report

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: nn.Module,
        **_: Any,
    ) -> None:
        """Begin the watch."""
        self._watching.begin(model)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """End the watch."""
        self._watching.end()
