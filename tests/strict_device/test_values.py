"""The values on the device are those of the CPU, forward and backward."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

Outputs = tuple[Tensor, ...]
Call = Callable[[nn.Module, Tensor], object]
TIME = 5
BATCH = 3
FUNCTIONAL: dict[type[nn.LSTM | nn.GRU], Callable[..., Outputs]] = {
    nn.LSTM: torch._VF.lstm,
    nn.GRU: torch._VF.gru,
}


def flatten(outputs: object) -> list[Tensor]:
    """List the tensors of what a recurrent module returns."""
    if isinstance(outputs, Tensor):
        return [outputs]
    assert isinstance(outputs, tuple)
    return [tensor for part in outputs if part is not None for tensor in flatten(part)]


def run(module: nn.Module, call: Call, inputs: Tensor) -> Outputs:
    """Return the outputs of a module, the gradients of its parameters and that of its inputs."""
    inputs = inputs.clone().requires_grad_()
    outputs = flatten(call(module, inputs))
    weights = (torch.arange(o.numel(), device=o.device).view_as(o).cos() for o in outputs)
    torch.stack([(o * w).sum() for o, w in zip(outputs, weights, strict=True)]).sum().backward()
    assert inputs.grad is not None
    return (*outputs, inputs.grad, *(p.grad for p in module.parameters() if p.grad is not None))


def assert_same(module: nn.Module, call: Call, inputs: Tensor) -> None:
    """Compare the results on the device with those on the CPU."""
    near = run(module, call, inputs)
    far = run(copy.deepcopy(module).to("strict"), call, inputs.to("strict"))
    assert len(near) == len(far) > len(list(module.parameters()))
    assert {tensor.device.type for tensor in far} == {"strict"}
    torch.testing.assert_close([tensor.cpu() for tensor in far], list(near))


def call_directly(module: nn.Module, inputs: Tensor) -> object:
    return module(inputs)


def call_functional(module: nn.Module, inputs: Tensor) -> object:
    assert isinstance(module, nn.LSTM | nn.GRU)
    shape = (module.num_layers, BATCH, module.hidden_size)
    state = torch.full(shape, 0.5, dtype=inputs.dtype, device=inputs.device)
    hidden = (state, state) if isinstance(module, nn.LSTM) else state
    settings = (module.bias, module.num_layers, 0.0, True, False, False)
    return FUNCTIONAL[type(module)](inputs, hidden, list(module.parameters()), *settings)


def call_packed(module: nn.Module, inputs: Tensor) -> object:
    return module(nn.utils.rnn.pack_padded_sequence(inputs, [TIME, 3, 1]))[0].data


@pytest.mark.parametrize("call", [call_directly, call_functional, call_packed])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_sequences_have_the_values_of_the_cpu(
    kind: type[nn.LSTM | nn.GRU],
    layers: int,
    bias: bool,
    call: Call,
) -> None:
    module = kind(4, 6, num_layers=layers, bias=bias, dtype=torch.float64)
    assert_same(module, call, torch.randn(TIME, BATCH, 4, dtype=torch.float64))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_both_directions_have_the_values_of_the_cpu(kind: type[nn.LSTM | nn.GRU]) -> None:
    module = kind(4, 6, bidirectional=True, dtype=torch.float64)
    assert_same(module, call_directly, torch.randn(TIME, BATCH, 4, dtype=torch.float64))


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell])
def test_cells_have_the_values_of_the_cpu(kind: type[nn.LSTMCell | nn.GRUCell]) -> None:
    module = kind(4, 6, dtype=torch.float64)
    assert_same(module, call_directly, torch.randn(BATCH, 4, dtype=torch.float64))


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv1d(4, 6, 2),
        nn.Conv1d(4, 6, 2, bias=False, stride=2, padding=1),
        nn.Conv1d(4, 4, 2, groups=2, dilation=2),
        nn.ConvTranspose1d(4, 6, 2, stride=2),
        nn.Conv2d(4, 2, (2, 1)),
        nn.BatchNorm1d(4),
    ],
    ids=str,
)
def test_convolutions_have_the_values_of_the_cpu(module: nn.Module) -> None:
    shape = (2, 4, 5, 3) if isinstance(module, nn.Conv2d) else (2, 4, 5)
    assert_same(module, call_directly, torch.randn(shape))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_autocast_computes_in_bfloat16(kind: type[nn.LSTM | nn.GRU]) -> None:
    module = kind(4, 6, device="strict")
    inputs = torch.randn(TIME, BATCH, 4, device="strict")
    exact = module(inputs)[0]
    with torch.autocast("strict", dtype=torch.bfloat16):
        outputs = module(inputs)[0]
        assert (inputs @ inputs.mT).dtype == torch.bfloat16
        assert inputs.exp().dtype == torch.float32
    assert outputs.dtype == torch.bfloat16
    torch.testing.assert_close(outputs.float(), exact, rtol=0, atol=0.02)
    outputs.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


def test_sparse_tensors_keep_their_values() -> None:
    dense = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    sparse = dense.to("strict").to_sparse()
    assert sparse.device.type == "strict"
    assert sparse.is_sparse
    assert sparse.coalesce().indices().device.type == "strict"
    assert torch.equal(sparse.to_dense().cpu(), dense)
    assert torch.equal((sparse + sparse).to_dense().cpu(), 2 * dense)
    assert torch.equal((sparse @ dense.to("strict")).cpu(), dense @ dense)
    assert torch.equal(sparse.cpu().to_dense(), dense)


def test_views_share_memory() -> None:
    base = torch.zeros(4, device="strict")
    base.unfold(0, 2, 1)[1] += 1
    base.view(2, 2)[0] += 2
    base[3:].fill_(5)
    assert base.tolist() == [2.0, 3.0, 1.0, 5.0]


def test_dropout_keeps_the_share_asked_for() -> None:
    ones = torch.ones(1000, device="strict", requires_grad=True)
    kept = functional.dropout(ones, 0.25)
    assert set(kept.tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert 650 < kept.count_nonzero() < 850
    kept.sum().backward()
    assert ones.grad is not None
    assert torch.equal(ones.grad, kept)
    assert torch.equal(functional.dropout(ones, 0.25, training=False), ones)


def test_a_result_passed_as_out_is_resized() -> None:
    result = torch.empty(0, device="strict")
    torch.add(torch.ones(3, device="strict"), 1, out=result)
    assert result.tolist() == [2.0, 2.0, 2.0]
