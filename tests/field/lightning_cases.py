"""Lightning: a recurrent regression, and mistakes in a module of the user."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.field.case import Case, Training

LIBRARY = "lightning"
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Recurrent(pl.LightningModule):
    """Predicts the sum of a sequence, and its sign."""

    def __init__(self) -> None:
        super().__init__()
        self.core = nn.GRU(3, 16, batch_first=True)
        self.total = nn.Linear(16, 1)
        self.sign = nn.Linear(16, 1)

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the last output of the core."""
        outputs, _ = self.core(inputs)
        return outputs[:, -1]

    def losses(self, batch: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both losses."""
        inputs, targets = batch
        encoded = self.encode(inputs)
        total = nn.functional.mse_loss(self.total(encoded), targets)
        sign = nn.functional.binary_cross_entropy_with_logits(
            self.sign(encoded), (targets > 0).float()
        )
        return total, sign

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Return the loss."""
        total, sign = self.losses(batch)
        return total + sign

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        """Compute the losses, under inference mode."""
        self.losses(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return an optimizer of all parameters."""
        return torch.optim.Adam(self.parameters(), lr=1e-2)


class DetachedTerm(Recurrent):
    """Adds a number where a term with a graph belongs."""

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Return the loss."""
        total, sign = self.losses(batch)
        return total + sign.detach()


class ForgottenHead(Recurrent):
    """Forgets a head in the optimizer."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return an optimizer without the head."""
        return torch.optim.Adam([*self.core.parameters(), *self.total.parameters()], lr=1e-2)


class CachedTable(Recurrent):
    """Keeps a table of the first call, which may run under inference mode."""

    table: torch.Tensor | None = None

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Weight the steps."""
        outputs, _ = self.core(inputs)
        if self.table is None:
            self.table = torch.linspace(0, 1, outputs.shape[1]).unsqueeze(-1)
        return (outputs * self.table).sum(dim=1)


class DetachedCore(Recurrent):
    """Cuts the core off from both losses."""

    def encode(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the last output without its graph."""
        return super().encode(inputs).detach()


def training(module: Recurrent, **settings: Any) -> Training:
    """Return the module, and what validates it and fits it for a few batches."""
    inputs = torch.randn(64, 5, 3)
    targets = inputs.sum(dim=(1, 2)).unsqueeze(-1)
    data = DataLoader(TensorDataset(inputs, targets), batch_size=16)
    quiet: dict[str, Any] = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    trainer = pl.Trainer(max_epochs=2, accelerator="cpu", **quiet, **settings)

    def fit() -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            trainer.validate(module, data, verbose=False)  # which runs under inference mode
            trainer.fit(module, data, data)

    return Training(module, fit)


CASES = (
    Case(LIBRARY, "correct", "as its documentation shows", lambda: training(Recurrent())),
    Case(
        LIBRARY,
        "detached-term",
        "a term without a graph in the loss",
        lambda: training(DetachedTerm()),
    ),
    Case(
        LIBRARY,
        "forgotten-head",
        "a head that the optimizer lacks",
        lambda: training(ForgottenHead()),
    ),
    Case(
        LIBRARY,
        "cached-table",
        "a table cached by the validation under inference mode",
        lambda: training(CachedTable()),
    ),
    Case(
        LIBRARY,
        "detached-core",
        "a core that is cut off from the loss",
        lambda: training(DetachedCore()),
    ),
)
