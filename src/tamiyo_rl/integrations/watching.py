"""A watch that a library begins and ends by its hooks."""

from __future__ import annotations

import logging
import weakref
from contextlib import ExitStack

from torch import nn

from tamiyo_rl.checks import require_bool
from tamiyo_rl.contract.watch import WatchReport, watch_training

LOGGER = logging.getLogger("tamiyo_rl")


class Watching:
    """Watches a training between two calls, and tells what is broken at the end.

    Args:
        raise_if_broken: Whether a broken training raises at its end; else it is logged.

    Attributes:
        report: Of the training that ended last; None before.
    """

    def __init__(self, *, raise_if_broken: bool = False) -> None:
        require_bool(raise_if_broken=raise_if_broken)
        self.raise_if_broken = raise_if_broken
        self.report: WatchReport | None = None
        self._entered = ExitStack()
        weakref.finalize(self, self._entered.close)  # no hook is called where training raises

    def begin(self, module: nn.Module) -> None:
        """Begin to watch; a training that an error ended is watched no more."""
        self._entered.close()
        self._watch = self._entered.enter_context(watch_training(module))

    def end(self) -> None:
        """End the watch.

        Raises:
            ContractError: If the training is broken, and this is to raise.
        """
        self._entered.close()
        self.report = self._watch.report
        if self.raise_if_broken:
            self.report.raise_if_broken()
        elif self.report.problems:
            LOGGER.warning("%s", self.report)
