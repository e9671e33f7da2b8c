"""The kernels that PyTorch asks of a device of this slot, and that the CPU does not have.

PyTorch runs an LSTM or a GRU on it step by step with a fused cell, dropout as one kernel, and a
convolution by a name of its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_LIBRARY = torch.library.Library("aten", "IMPL")


def register() -> None:
    """Give the kernels to PyTorch."""
    for name, kernel in {
        "_thnn_fused_lstm_cell": lstm_cell,
        "_thnn_fused_lstm_cell_backward_impl": lstm_cell_backward,
        "_thnn_fused_gru_cell": gru_cell,
        "_thnn_fused_gru_cell_backward": gru_cell_backward,
        "native_dropout": dropout,
        "convolution_overrideable": convolution,
        "convolution_backward_overrideable": convolution_backward,
    }.items():
        _LIBRARY.impl(name, kernel, "PrivateUse1")


def lstm_cell(
    input_gates: Tensor,
    hidden_gates: Tensor,
    cell: Tensor,
    input_bias: Tensor | None = None,
    hidden_bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the hidden state, the cell and the gates, all that the backward pass needs."""
    gates = _add(input_gates, input_bias) + _add(hidden_gates, hidden_bias)
    i, f, g, o = gates.chunk(4, 1)
    i = i.sigmoid()
    f = f.sigmoid()
    g = g.tanh()
    o = o.sigmoid()
    new_cell = f * cell + i * g
    return o * new_cell.tanh(), new_cell, torch.cat([i, f, g, o], 1)


def lstm_cell_backward(
    grad_hidden: Tensor | None,
    grad_cell: Tensor | None,
    cell: Tensor,
    new_cell: Tensor,
    gates: Tensor,
    has_bias: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the gates, of the cell and of each bias."""
    i, f, g, o = gates.chunk(4, 1)
    tanh = new_cell.tanh()
    grad_hidden = torch.zeros_like(new_cell) if grad_hidden is None else grad_hidden
    grad_cell = torch.zeros_like(new_cell) if grad_cell is None else grad_cell
    grad_cell = grad_cell + grad_hidden * o * (1 - tanh * tanh)
    grads = [
        grad_cell * g * i * (1 - i),
        grad_cell * cell * f * (1 - f),
        grad_cell * i * (1 - g * g),
        grad_hidden * tanh * o * (1 - o),
    ]
    grad_gates = torch.cat(grads, 1)
    return grad_gates, grad_cell * f, _grad_bias(grad_gates, has_bias=has_bias)


def gru_cell(
    input_gates: Tensor,
    hidden_gates: Tensor,
    hidden: Tensor,
    input_bias: Tensor | None = None,
    hidden_bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the hidden state, and all that the backward pass needs."""
    input_r, input_z, input_n = _add(input_gates, input_bias).chunk(3, 1)
    hidden_r, hidden_z, hidden_n = _add(hidden_gates, hidden_bias).chunk(3, 1)
    r = (input_r + hidden_r).sigmoid()
    z = (input_z + hidden_z).sigmoid()
    n = (input_n + r * hidden_n).tanh()
    return n + z * (hidden - n), torch.cat([r, z, n, hidden, hidden_n], 1)


def gru_cell_backward(
    grad_hidden: Tensor,
    workspace: Tensor,
    has_bias: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of both gates, of the hidden state and of both biases."""
    r, z, n, hidden, hidden_n = workspace.chunk(5, 1)
    grad_z = grad_hidden * (hidden - n) * z * (1 - z)
    grad_n = grad_hidden * (1 - z) * (1 - n * n)
    grad_r = grad_n * hidden_n * r * (1 - r)
    grad_input = torch.cat([grad_r, grad_z, grad_n], 1)
    grad_gates = torch.cat([grad_r, grad_z, grad_n * r], 1)
    grad_biases = [_grad_bias(grad, has_bias=has_bias) for grad in (grad_input, grad_gates)]
    return grad_input, grad_gates, grad_hidden * z, grad_biases[0], grad_biases[1]


def dropout(
    features: Tensor,
    p: float,
    train: bool | None,
) -> tuple[Tensor, Tensor]:
    """Return the scaled rest and its mask, drawn from the generator of the device."""
    if train is False or p == 0:
        return features.clone(), torch.ones_like(features, dtype=torch.bool)
    kept = torch.empty_like(features, dtype=torch.bool).bernoulli_(1 - p)
    return features * kept * (1 / (1 - p)), kept


def convolution(
    features: Tensor, weight: Tensor, bias: Tensor | None, *settings: Sequence[int] | int
) -> Tensor:
    """Convolve on the CPU."""
    on_cpu = (_to_cpu(features), _to_cpu(weight), None if bias is None else _to_cpu(bias))
    result: Tensor = torch.ops.aten.convolution(*on_cpu, *settings)
    return result.to(features.device)


def convolution_backward(
    grad: Tensor, features: Tensor, weight: Tensor, *settings: Sequence[int] | int
) -> list[Tensor | None]:
    """Return the gradients of the features, of the weight and of the bias."""
    on_cpu = map(_to_cpu, (grad, features, weight))
    # The shape of the bias, which this kernel is not told: a number for each channel of the result.
    grads = torch.ops.aten.convolution_backward(*on_cpu, [grad.shape[1]], *settings)
    return [None if grad is None else grad.to(features.device) for grad in grads]


def _to_cpu(tensor: Tensor) -> Tensor:
    if tensor.device.type != "strict":
        raise RuntimeError(
            f"Expected all tensors to be on the same device, strict, but got one on {tensor.device}"
        )
    return tensor.cpu()


def _add(gates: Tensor, bias: Tensor | None) -> Tensor:
    return gates if bias is None else gates + bias


def _grad_bias(grad_gates: Tensor, *, has_bias: bool) -> Tensor:
    return grad_gates.sum(0) if has_bias else grad_gates.new_empty(0)
