"""A callback for Lightning."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer

from tamiyo_rl.contract.watch import WatchReport
from tamiyo_rl.integrations.watching import Watching


class WatchCallback(Callback):
    """Watches `fit()`, as `watch_training` does.

    Args:
        raise_if_broken: Whether a broken training raises at its end; else it is logged.
    """

    def __init__(self, *, raise_if_broken: bool = False) -> None:
        self._watching = Watching(raise_if_broken=raise_if_broken)

    @property
    def report(self) -> WatchReport | None:
        """The report of the training that ended last; None before."""
        return self._watching.report

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the watch."""
        self._watching.begin(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the watch."""
        self._watching.end()
