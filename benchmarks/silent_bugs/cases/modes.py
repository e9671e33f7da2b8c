"""Modes that stay on, and what was made while they were on."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from benchmarks.silent_bugs.case import Batch, Losses, Training, case, labelled


@case(
    "The validation calls eval() and nobody calls train() again, so that dropout is off.",
    "https://github.com/ermongroup/ncsn/issues/2",
    missed="Training in evaluation mode is right for many, and every parameter gets its gradient.",
)
def eval_left_on(*, mistake: bool) -> Training:
    """Train a classifier that is validated before each update."""
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Dropout(0.5), nn.Linear(16, 3))

    def validate(batch: Batch) -> int:
        model.eval()
        with torch.no_grad():
            right = model(batch["features"]).argmax(dim=1) == batch["labels"]
        if not mistake:
            model.train()
        return int(right.sum())

    def losses(batch: Batch) -> Losses:
        validate(batch)
        return Losses({"loss": F.cross_entropy(model(batch["features"]), batch["labels"])})

    return Training(model, torch.optim.Adam(model.parameters()), labelled(), losses)


class Rotary(nn.Module):
    """A layer whose queries are turned by angles that it computes once."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self.query = nn.Linear(8, 8)
        self.output = nn.Linear(8, 3)
        self.angles: torch.Tensor | None = None
        self.keep = keep

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        if self.angles is None or (self.angles.is_inference() and not self.keep):
            self.angles = torch.arange(8).div(8).cos()
        logits: torch.Tensor = self.output(self.query(features) * self.angles)
        return logits


@case(
    "The rotary table is made by an evaluation under inference mode, and training multiplies "
    "with it.",
    "https://github.com/Dao-AILab/flash-attention/pull/299",
)
def rotary_table(*, mistake: bool) -> Training:
    """Train a network that was evaluated first."""
    model = Rotary(keep=mistake)
    with torch.inference_mode():
        model(torch.zeros(1, 8))

    def losses(batch: Batch) -> Losses:
        return Losses({"loss": F.cross_entropy(model(batch["features"]), batch["labels"])})

    return Training(model, torch.optim.Adam(model.parameters()), labelled(), losses)


@case("The lazy layer gets its weights from a first call under inference mode.")
def lazy_layer(*, mistake: bool) -> Training:
    """Train a network whose sizes come from its first input."""
    model = nn.Sequential(nn.LazyLinear(16), nn.Tanh(), nn.Linear(16, 3))
    with torch.inference_mode(mode=mistake):
        model(torch.zeros(1, 8))

    def losses(batch: Batch) -> Losses:
        return Losses({"loss": F.cross_entropy(model(batch["features"]), batch["labels"])})

    return Training(model, torch.optim.Adam(model.parameters()), labelled(), losses)
