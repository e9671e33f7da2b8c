"""A callback for Stable-Baselines3 and sb3-contrib."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback

from tamiyo_rl.contract.watch import WatchReport
from tamiyo_rl.integrations.watching import Watching


class WatchCallback(BaseCallback):
    """Watches `learn()`, as `watch_training` does.

    Args:
        raise_if_broken: Whether a broken training raises at its end; else it is logged.
    """

    def __init__(self, *, raise_if_broken: bool = False) -> None:
        super().__init__()
        self._watching = Watching(raise_if_broken=raise_if_broken)

    @property
    def report(self) -> WatchReport | None:
        """The report of the training that ended last; None before."""
        return self._watching.report

    def _on_training_start(self) -> None:
        self._watching.begin(self.model.policy)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._watching.end()
