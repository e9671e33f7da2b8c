"""Parameters that the optimizer does not hold, or does not move."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from benchmarks.silent_bugs.case import Batch, Losses, Training, case, labelled, network


def classify(model: nn.Module, batch: Batch) -> Losses:
    """Return the loss of a classifier."""
    return Losses({"loss": F.cross_entropy(model(batch["features"]), batch["labels"])})


@case(
    "The groups of parameters are built one by one, and the last one is never appended.",
    "https://github.com/zjunlp/HVPNeT/issues/5",
)
def group_not_appended(*, mistake: bool) -> Training:
    """Train an encoder and its output layer with two learning rates."""
    model = nn.ModuleDict({"encoder": nn.Linear(8, 16), "fc": nn.Linear(16, 3)})
    groups = [{"params": list(model["encoder"].parameters()), "lr": 1e-3}]
    output = {"params": list(model["fc"].parameters()), "lr": 1e-2}
    if not mistake:
        groups.append(output)

    def losses(batch: Batch) -> Losses:
        logits = model["fc"](model["encoder"](batch["features"]).tanh())
        return Losses({"loss": F.cross_entropy(logits, batch["labels"])})

    return Training(model, torch.optim.Adam(groups), labelled(), losses)


@case(
    "The pruned layers replace the old ones after the optimizer was made.",
    "https://github.com/microsoft/nni/issues/4521",
)
def replaced_layer(*, mistake: bool) -> Training:
    """Fine-tune a network that was pruned."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    smaller = nn.Linear(16, 3)
    smaller.load_state_dict(model[2].state_dict())
    model[2] = smaller
    if not mistake:
        optimizer = torch.optim.Adam(model.parameters())
    return Training(model, optimizer, labelled(), lambda batch: classify(model, batch))


@case(
    "The optimizer of the curious actor is given the parameters of the other actor.",
    "https://github.com/yusukeurakami/plan2explore-pytorch/issues/4",
)
def other_network(*, mistake: bool) -> Training:
    """Train the actor that explores, beside the one that acts."""
    actor, curious_actor = network(), network()
    optimized = actor if mistake else curious_actor
    return Training(
        curious_actor,
        torch.optim.Adam(optimized.parameters()),
        labelled(),
        lambda batch: classify(curious_actor, batch),
    )


@case(
    "All but the normalisation is frozen, and the optimizer holds a layer that is frozen.",
    "https://discuss.pytorch.org/t/obtaining-abnormal-changes-in-loss-and-accuracy/84911",
)
def frozen_but_normalisation(*, mistake: bool) -> Training:
    """Fine-tune the last layer of a network."""
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.Adadelta(model[3].parameters(), lr=1)
    model[0].requires_grad_(requires_grad=False)
    if mistake:
        model[3].requires_grad_(requires_grad=False)
    else:
        model[1].requires_grad_(requires_grad=False)
    return Training(model, optimizer, labelled(), lambda batch: classify(model, batch))


@case(
    "Where there is a scheduler it steps in place of the optimizer.",
    "https://github.com/ClementPinard/SfmLearner-Pytorch/issues/5",
)
def scheduler_in_place_of_optimizer(*, mistake: bool) -> Training:
    """Train with a scheduler of the learning rate."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10)

    def update(loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        if not mistake:
            optimizer.step()
        scheduler.step()

    return Training(model, optimizer, labelled(), lambda batch: classify(model, batch), update)


@case(
    "A norm of 0, meant to switch the clipping off, clips every gradient to 0.",
    "https://github.com/strands-labs/robots/pull/2028",
)
def clipped_to_zero(*, mistake: bool) -> Training:
    """Train with a limit on the norm of the gradient."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters())

    def update(loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=0 if mistake else 0.5)
        optimizer.step()

    return Training(model, optimizer, labelled(), lambda batch: classify(model, batch), update)


@case(
    "The warm-up divides integers, so that the learning rate is 0 until it ends.",
)
def integer_warmup(*, mistake: bool) -> Training:
    """Train with a learning rate that rises over a hundred updates."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters())

    def factor(step: int) -> float:
        return (step + 1) // 100 if mistake else (step + 1) / 100

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)

    def update(loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()

    return Training(model, optimizer, labelled(), lambda batch: classify(model, batch), update)


@case(
    "The scaler is made anew in every update, so that its scale never falls and every step is "
    "skipped.",
)
def new_scaler(*, mistake: bool) -> Training:
    """Train in float16, with a scaler of the loss."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    scalers = [torch.amp.GradScaler("cpu")]

    def losses(batch: Batch) -> Losses:
        with torch.autocast("cpu", torch.float16):
            logits = model(batch["features"])
        return Losses({"loss": F.cross_entropy(logits, batch["labels"], reduction="sum")})

    def update(loss: torch.Tensor) -> None:
        scaler = torch.amp.GradScaler("cpu") if mistake else scalers[0]
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return Training(model, optimizer, labelled(updates=8), losses, update)


@case(
    "Nobody sets the gradients to 0, so that each step takes the sum of all gradients so far.",
    "https://github.com/wenet-e2e/wekws/issues/72",
)
def gradients_kept(*, mistake: bool) -> Training:
    """Train a classifier."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters())

    def update(loss: torch.Tensor) -> None:
        if not mistake:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Training(model, optimizer, labelled(), lambda batch: classify(model, batch), update)
