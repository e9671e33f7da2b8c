"""An operation on tensors of two devices raises, except where CUDA takes what is on the CPU."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

NEAR = torch.ones(2, 3)
FAR = torch.ones(2, 3, device="strict")
ROW = torch.ones(3, device="strict")
INDEX = torch.zeros(1, dtype=torch.long)
SCALAR = torch.tensor(2.0)
IMAGE = torch.ones(1, 1, 3, 3)
FAR_IMAGE = IMAGE.to("strict")

MIXED: dict[str, Callable[[], object]] = {
    "add": lambda: FAR + NEAR,
    "add to the CPU": lambda: NEAR + FAR,
    "add in place": lambda: FAR.clone().add_(NEAR),
    "add in place to the CPU": lambda: NEAR.clone().add_(FAR),
    "add in place to a scalar": lambda: SCALAR.clone().add_(FAR[0, 0]),
    "add with a result on the CPU": lambda: torch.add(FAR, FAR, out=torch.empty(2, 3)),
    "add meta": lambda: FAR + NEAR.to("meta"),
    "compare": lambda: FAR > NEAR,
    "where": lambda: torch.where(FAR > 0, FAR, NEAR),
    "where by the CPU": lambda: torch.where(NEAR > 0, FAR, FAR),
    "masked_fill": lambda: FAR.masked_fill(NEAR > 0, 0.0),
    "lerp": lambda: FAR.lerp(FAR, NEAR),
    "addcmul": lambda: torch.addcmul(FAR, FAR, NEAR),
    "clamp": lambda: FAR.clamp(max=NEAR),
    "matmul": lambda: FAR @ NEAR.T,
    "matmul of a batch": lambda: FAR.expand(2, 2, 3) @ NEAR.expand(2, 2, 3).mT,
    "dot": lambda: ROW @ NEAR[0],
    "linear": lambda: functional.linear(FAR, NEAR),
    "bias": lambda: functional.linear(FAR, FAR, torch.ones(2)),
    "einsum": lambda: torch.einsum("ij,kj->ik", FAR, NEAR),
    "cat": lambda: torch.cat([FAR, NEAR]),
    "cat of a scalar": lambda: torch.cat([ROW, SCALAR[None]]),
    "stack": lambda: torch.stack([FAR, NEAR]),
    "gather": lambda: ROW.gather(0, INDEX),
    "gather by a scalar": lambda: ROW.gather(0, INDEX[0]),
    "index_select": lambda: ROW.index_select(0, INDEX),
    "index of the CPU": lambda: NEAR[INDEX.to("strict")],
    "index_add": lambda: ROW.index_add(0, INDEX.to("strict"), torch.ones(1)),
    "index_copy": lambda: ROW.index_copy(0, INDEX, ROW[:1]),
    "put by index": lambda: ROW.index_put((INDEX,), torch.ones(1)),
    "scatter": lambda: ROW.scatter(0, INDEX.to("strict"), torch.ones(1)),
    "embedding": lambda: functional.embedding(INDEX, FAR),
    "mse_loss": lambda: functional.mse_loss(FAR, NEAR),
    "nll_loss": lambda: functional.nll_loss(FAR, INDEX.expand(2)),
    "layer_norm": lambda: functional.layer_norm(FAR, [3], torch.ones(3)),
    "convolution": lambda: functional.conv2d(FAR_IMAGE, IMAGE),
    "convolution of the CPU": lambda: functional.conv2d(IMAGE, FAR_IMAGE),
    "bias of a convolution": lambda: functional.conv2d(
        IMAGE.to("strict"), IMAGE.to("strict"), SCALAR[None]
    ),
    "equal": lambda: torch.equal(FAR, NEAR),
    "allclose": lambda: torch.allclose(FAR, NEAR),
    "sparse": lambda: FAR.to_sparse() + NEAR.to_sparse(),
    "sparse matmul": lambda: FAR.to_sparse() @ NEAR.T,
    "foreach": lambda: torch._foreach_add([FAR], [NEAR]),
    "LSTM": lambda: nn.LSTM(3, 4)(FAR),
    "LSTM state": lambda: nn.LSTM(3, 4, device="strict")(FAR, (torch.zeros(1, 4),) * 2),
    "GRU": lambda: nn.GRU(3, 4, device="strict")(NEAR),
    "GRU state": lambda: nn.GRU(3, 4, device="strict")(FAR, torch.zeros(1, 4)),
    "GRU cell": lambda: nn.GRUCell(3, 4, device="strict")(FAR, torch.zeros(2, 4)),
    "generator of the CPU": lambda: ROW.normal_(generator=torch.Generator("cpu")),
    "generator for the CPU": lambda: torch.randn(2, generator=torch.Generator("strict")),
    "numpy": FAR.numpy,
}


@pytest.mark.parametrize("mix", MIXED.values(), ids=MIXED)
def test_mixing_devices_is_an_error(mix: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, TypeError), match=r"(?i)device|indices should be"):
        mix()


ALLOWED: dict[str, Callable[[], Tensor]] = {
    "scalar after": lambda: FAR + SCALAR,
    "scalar before": lambda: SCALAR * FAR,
    "scalar in place": lambda: FAR.clone().mul_(SCALAR),
    "scalar in where": lambda: torch.where(FAR > 0, FAR, SCALAR),
    "scalar to fill with": lambda: FAR.masked_fill(FAR > 0, SCALAR),
    "scalar to put": lambda: FAR.index_put((INDEX,), SCALAR),
    "index": lambda: FAR[INDEX],
    "mask": lambda: FAR[NEAR > 0],
    "copy": lambda: torch.empty_like(FAR).copy_(NEAR),
    "assignment": lambda: _assign(FAR.clone(), NEAR[0]),
    "lengths": lambda: nn.utils.rnn.pack_padded_sequence(FAR, INDEX.expand(3) + 2).data,
}


@pytest.mark.parametrize("mix", ALLOWED.values(), ids=ALLOWED)
def test_what_cuda_takes_from_the_cpu_is_taken(mix: Callable[[], Tensor]) -> None:
    assert mix().device == FAR.device


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int64])
def test_a_number_does_not_change_the_dtype(dtype: torch.dtype) -> None:
    far = FAR.to(dtype)
    near = NEAR.to(dtype)
    for result, expected in ((far * 2.0, near * 2.0), (2 - far, 2 - near)):
        assert result.device == far.device
        assert result.dtype == expected.dtype
        assert torch.equal(result.cpu(), expected)


def _assign(target: Tensor, row: Tensor) -> Tensor:
    target[0] = row
    return target
