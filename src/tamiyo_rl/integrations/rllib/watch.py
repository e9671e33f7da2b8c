"""A mixin for the learners of Ray RLlib."""

from __future__ import annotations

from typing import Any

from ray.rllib.core.learner.torch.torch_learner import TorchLearner

from tamiyo_rl.contract.watch import WatchReport, watch_training
from tamiyo_rl.integrations.watching import LOGGER


class WatchMixin(TorchLearner):
    """Watches each update as `watch_training` does, and logs what is broken.

    Attributes:
        report: Of the update that ended last; None before.
    """

    report: WatchReport | None = None

    def update(self, *args: Any, **kwargs: Any) -> Any:
        """Update, watched by `watch_training`."""
        with watch_training(dict(self.module.items()).values()) as watch:
            results = super().update(*args, **kwargs)
        self.report = watch.report
        if self.report.problems:
            LOGGER.warning("%s", self.report)
        return results
