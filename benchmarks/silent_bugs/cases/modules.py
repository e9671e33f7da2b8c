"""Modules that are not registered, are shared, are frozen, or cannot pass a gradient on."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's own name
from torch.utils.checkpoint import checkpoint

from benchmarks.silent_bugs.case import Batch, Losses, Training, case, labelled, network


def classify(model: nn.Module, batch: Batch) -> Losses:
    """Return the loss of a classifier."""
    return Losses({"loss": F.cross_entropy(model(batch["features"]), batch["labels"])})


class Stack(nn.Module):
    """Residual layers below an output layer."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = layers
        self.output = nn.Linear(8, 3)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        for layer in self.layers:
            features = features + layer(features).tanh()
        return cast("torch.Tensor", self.output(features))


@case(
    "The layers are kept in a plain Python list, so that the module does not know them.",
    "https://github.com/LianpoWang/SLIIF/issues/13",
)
def python_list(*, mistake: bool) -> Training:
    """Train a stack of layers."""
    layers: list[nn.Module] = [nn.Linear(8, 8) for _ in range(3)]
    model = Stack(layers if mistake else nn.ModuleList(layers))  # type: ignore[arg-type]  # the list is the mistake
    optimizer = torch.optim.Adam(model.parameters())
    return Training(model, optimizer, labelled(), lambda batch: classify(model, batch))


class Heads(nn.Module):
    """Several heads, each a block and an output layer."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.outputs = nn.ModuleList(nn.Linear(8, 3) for _ in blocks)

    def forward(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits of each head."""
        pairs = zip(self.blocks, self.outputs, strict=True)
        return [output(features + block(features).tanh()) for block, output in pairs]


@case(
    "A list of one block times the number of heads: all heads share the weights of one block.",
    "https://github.com/zankner/Hydra/issues/8",
    missed="Sharing weights is a technique, and nothing tells what was meant.",
)
def one_block_repeated(*, mistake: bool) -> Training:
    """Train three heads that predict three labels."""
    blocks: list[nn.Module] = [nn.Linear(8, 8)] * 3
    if not mistake:
        blocks = [nn.Linear(8, 8) for _ in range(3)]
    model = Heads(blocks)

    def losses(batch: Batch) -> Losses:
        logits = model(batch["features"])
        terms = {
            f"head {i}": F.cross_entropy(logits[i], (batch["labels"] + i) % 3) for i in range(3)
        }
        return Losses(terms)

    return Training(model, torch.optim.Adam(model.parameters()), labelled(), losses)


@case(
    "What unfreezes the encoder looks only at parameters that are not frozen.",
    "https://github.com/nttcslab/byol-a/issues/7",
    missed="A frozen part is left in peace: nothing tells whether it was meant to train again.",
)
def still_frozen(*, mistake: bool) -> Training:
    """Train a network whose encoder was frozen in the phase before."""
    model = network()
    model[0].requires_grad_(requires_grad=False)
    for parameter in model[0].parameters():
        if parameter.requires_grad or not mistake:
            parameter.requires_grad = True
    optimizer = torch.optim.Adam(model.parameters())
    return Training(model, optimizer, labelled(), lambda batch: classify(model, batch))


class Adapted(nn.Module):
    """A frozen layer with a trainable detour of low rank, as LoRA has."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(8, 8).requires_grad_(requires_grad=False)
        self.down = nn.Linear(8, 2, bias=False)
        self.up = nn.Linear(2, 8, bias=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the output of both."""
        return cast("torch.Tensor", self.base(hidden) + self.up(self.down(hidden)))


@case(
    "Reentrant checkpointing around adapters, with an input that requires no gradient: the "
    "adapters get none.",
    "https://github.com/locuslab/open-unlearning/issues/178",
)
def reentrant_checkpoint(*, mistake: bool) -> Training:
    """Fine-tune the adapters of a frozen network, and its output layer."""
    model = nn.Sequential(Adapted(), nn.Linear(8, 3))

    def losses(batch: Batch) -> Losses:
        features = batch["features"]
        if not mistake:
            features = features.clone().requires_grad_()
        hidden = checkpoint(model[0], features, use_reentrant=True)
        return Losses({"loss": F.cross_entropy(model[1](hidden), batch["labels"])})

    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Training(model, torch.optim.Adam(trainable), labelled(), losses)


@case(
    "The weights in front of a ReLU begin as 0 and have no bias, so that the ReLU is dead for "
    "ever.",
    "https://github.com/lucidrains/deep-cross-attention/issues/2",
)
def dead_relu(*, mistake: bool) -> Training:
    """Train a network that mixes its layers by learned weights."""
    mix = nn.Linear(8, 8, bias=False)
    nn.init.normal_(mix.weight, std=0 if mistake else 0.02)
    model = nn.ModuleDict({"mix": mix, "output": nn.Linear(8, 3)})

    def losses(batch: Batch) -> Losses:
        features = batch["features"]
        mixed = features * (1 + model["mix"](features).relu())
        return Losses({"loss": F.cross_entropy(model["output"](mixed), batch["labels"])})

    return Training(model, torch.optim.Adam(model.parameters()), labelled(), losses)


@case(
    "The observations are encoded under no_grad, so that the encoder is never trained.",
    "https://github.com/rll-research/cic/issues/5",
)
def encoder_without_gradient(*, mistake: bool) -> Training:
    """Train an encoder and a head on what it encodes."""
    model = nn.ModuleDict({"encoder": nn.Linear(8, 16), "head": nn.Linear(16, 3)})

    def losses(batch: Batch) -> Losses:
        with torch.set_grad_enabled(not mistake):
            encoded = model["encoder"](batch["features"]).tanh()
        return Losses({"loss": F.cross_entropy(model["head"](encoded), batch["labels"])})

    return Training(model, torch.optim.Adam(model.parameters()), labelled(), losses)
