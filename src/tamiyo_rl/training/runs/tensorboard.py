"""The figures of each update as TensorBoard scalars."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tamiyo_rl.training.ppo.diagnostics import UpdateReport
from tamiyo_rl.training.storage.files import as_path

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardLog:
    """Writes `UpdateReport.scalars()` for TensorBoard, over the environment steps.

    Args:
        folder: Where the event file goes.
        after: Steps of the checkpoint from which the training goes on: what an earlier file says
            of later ones is not shown.

    Raises:
        TypeError: If `folder` is not a path.
        ImportError: If TensorBoard is not installed.

    Examples:
        ```python
        from pathlib import Path
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import PPOConfig, RecurrentPPO, TensorBoardLog, make_envs

        envs, bundle = make_envs(num_envs=8), LSTMPolicyBundle(feature_dim=2, action_dims=2)
        trainer = RecurrentPPO(envs, bundle, PPOConfig(total_steps=1024, epochs=1))
        with TensorBoardLog(Path("run")) as log:
            for report in trainer.train():
                log.add(report)
        print(len(list(Path("run").glob("events.*"))))
        ```

        ```text
        1
        ```
    """

    def __init__(self, folder: str | os.PathLike[str], *, after: int = 0) -> None:
        writer = require_tensorboard()
        self._writer = writer(str(as_path("folder", folder)), purge_step=after + 1)

    def add(self, report: UpdateReport) -> None:
        """Write the figures of one update, and flush them."""
        for name, value in report.scalars().items():
            self._writer.add_scalar(name, value, report.steps)
        self._writer.flush()

    def __enter__(self) -> Self:
        """Return the log."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._writer.close()


def require_tensorboard() -> type[SummaryWriter]:
    """Return PyTorch's writer of event files.

    Raises:
        ImportError: If TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ImportError(
            "tensorboard: expected it to be installed, got no such package. Install the package "
            "tensorboard, or leave the figures for TensorBoard out."
        ) from error
    return SummaryWriter
