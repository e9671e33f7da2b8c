"""What other packages for silent mistakes say about a training, in their default settings.

Each is called as its own documentation does, with the whole forward pass as the module's, since
most mistakes stand in the loss and not in one network.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import torch
from torch import nn

from benchmarks.silent_bugs.case import Batch, Builder, Training


class Objective(nn.Module):
    """A module whose output is the loss."""

    def __init__(self, training: Training) -> None:
        super().__init__()
        self.module = training.module
        self.losses = training.losses

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the loss."""
        return self.losses(batch).total()


def torch_audit(build: Builder) -> Iterator[str]:
    """Patch the module and the optimizer, and audit every step; hints at speed do not count."""
    package: Any = import_module("torch_audit")
    training = build()
    objective = Objective(training)
    auditor = package.autopatch(objective, optimizer=training.optimizer, every_n_steps=1)
    for batch in training.batches:
        training.apply(objective(batch))
    result = auditor.finish()
    auditor.unpatch()
    for finding in result.findings:
        is_hint = result.rules[finding.rule_id].category == "Performance"
        if finding.severity >= package.Severity.WARN and not is_hint:
            yield f"{finding.rule_id}: {finding.message}"


def torchtest2(build: Builder) -> Iterator[str]:
    """Check the first batch; a check that fails is a finding."""
    package: Any = import_module("torchtest2")
    training = build()
    report = package.check_model(
        Objective(training),
        (next(iter(training.batches)),),
        loss_fn=lambda loss: loss,
        optimizer=training.optimizer,
        batch_dim=None,  # the loss has none
    )
    yield from (f"{result.name}: {result.message}" for result in report.failures)


def torchdiag(build: Builder) -> Iterator[str]:
    """Verify the first step, and check the gradients that later ones leave."""
    package: Any = import_module("torchdiag")
    training = build()
    batches = iter(training.batches)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        package.verify_step(
            Objective(training), training.optimizer, lambda loss, _: loss, next(batches), None
        )
        for batch in batches:
            training.apply(training.losses(batch).total())
            package.check_gradients(training.module)
    yield from (line.strip() for line in printed.getvalue().splitlines() if "•" in line)
