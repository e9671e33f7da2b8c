"""What a case is: a small training, with or without its mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn

Batch = Mapping[str, torch.Tensor]
Numbers = Mapping[str, torch.Tensor]
OWN = "none: own"


@dataclass(frozen=True)
class Losses:
    """What a forward pass gives.

    Attributes:
        terms: The terms of the loss, as they are summed.
        new: What a policy computes now.
        old: The same, as the rollout stored it.
        mask: Which steps count.
        first: Whether the parameters are still those of the rollout.
    """

    terms: Mapping[str, torch.Tensor | float]
    new: Numbers = field(default_factory=dict)
    old: Numbers = field(default_factory=dict)
    mask: torch.Tensor | None = None
    first: bool = False

    def total(self) -> torch.Tensor:
        """Return the loss."""
        return torch.as_tensor(sum(self.terms.values()))


@dataclass(frozen=True)
class Training:
    """A training of a few updates.

    Attributes:
        module: What is trained.
        optimizer: Its optimizer.
        batches: The batches, one for each update.
        losses: The forward pass.
        update: What follows the forward pass, where it is not that of everybody.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Iterable[Batch]
    losses: Callable[[Batch], Losses]
    update: Callable[[torch.Tensor], None] | None = None

    def apply(self, loss: torch.Tensor) -> None:
        """Change the parameters."""
        if self.update is not None:
            self.update(loss)
            return
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


Builder = Callable[[], Training]


def train(training: Training) -> None:
    """Train as everybody does, with no tool."""
    for batch in training.batches:
        training.apply(training.losses(batch).total())


class Build(Protocol):
    """Builds a training."""

    __module__: str
    __name__: str

    def __call__(self, *, mistake: bool) -> Training:
        """Build the training with its mistake, or mended."""
        ...


@dataclass(frozen=True)
class Case:
    """A mistake and its mended twin.

    Attributes:
        build: Builds either of the two.
        sentence: The mistake in one sentence.
        link: Where somebody reported it, or that nobody did.
        missed: Why our tools cannot see it; empty if they do.
    """

    build: Build
    sentence: str
    link: str = OWN
    missed: str = field(default="", kw_only=True)

    @property
    def id(self) -> str:
        """The family and the name, such as `terms.item`."""
        return f"{self.build.__module__.rpartition('.')[2]}.{self.build.__name__}"


CASES: list[Case] = []


def case(sentence: str, link: str = OWN, *, missed: str = "") -> Callable[[Build], Build]:
    """Add a case to the list."""

    def add(build: Build) -> Build:
        CASES.append(Case(build, sentence, link, missed=missed))
        return build

    return add


def labelled(updates: int = 4, rows: int = 16, classes: int = 3) -> Iterator[Batch]:
    """Yield batches of eight features and a class that depends on them."""
    rule = torch.randn(8, classes)
    for _ in range(updates):
        features = torch.randn(rows, 8)
        yield {"features": features, "labels": (features @ rule).argmax(dim=1)}


def network(outputs: int = 3) -> nn.Sequential:
    """Return a small network for these batches."""
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, outputs))
