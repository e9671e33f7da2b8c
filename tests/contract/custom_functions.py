"""Custom functions of autograd, as memory-saving libraries write them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Run = Callable[[torch.Tensor], torch.Tensor]


class Recompute(torch.autograd.Function):
    """Runs a module again in the backward pass, so its graph does not name the parameters."""

    @staticmethod
    def forward(ctx: Any, run: Run, x: torch.Tensor) -> torch.Tensor:
        ctx.run = run
        ctx.save_for_backward(x)
        return run(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            ctx.run(x).backward(grads[0])
        return None, x.grad


class FusedSquare(torch.autograd.Function):
    """Computes the gradient in the forward pass, as fused losses do."""

    @staticmethod
    def forward(ctx: Any, layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            loss = layer(leaf).square().mean()
            loss.backward()
        ctx.save_for_backward(leaf.grad)
        return loss.detach()  # type: ignore[no-any-return]  # the call of a module is untyped

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        return None, grads[0] * ctx.saved_tensors[0]


class ReverseGradient(torch.autograd.Function):
    """Passes its input on, and reverses the gradient."""

    @staticmethod
    def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(_: Any, *grads: torch.Tensor) -> Any:
        return -grads[0]


class DropGradient(ReverseGradient):
    """Passes its input on, and gives it no gradient, although the graph has an edge to it."""

    @staticmethod
    def backward(_: Any, *grads: torch.Tensor) -> Any:
        return None
