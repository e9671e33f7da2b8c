"""Ways of the hidden state from `initial_hidden()` to the training call."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable, Mapping

import torch
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.dlpack import from_dlpack

from tamiyo_rl.crossings.catalogue import Outcome, Tool, Verdict, crossing, enter, plain
from tamiyo_rl.crossings.lab import BATCH, Lab

Travel = Callable[[torch.Tensor], torch.Tensor]
inside = torch.inference_mode()


def travels(
    name: str, sentence: str, travel: Travel, expected: Outcome, verdict: Verdict, *tools: Tool
) -> None:
    """Enter a crossing that does one thing to each tensor of the state."""

    def run(lab: Lab) -> Mapping[str, torch.Tensor]:
        h, c = (travel(part) for part in lab.policy.initial_state())
        return lab.terms(lab.evaluate(state=(h, c)))

    enter(f"hidden.{name}", sentence, run, expected, verdict, *tools)


def loud(name: str, sentence: str, travel: Travel) -> None:
    """Enter a crossing that raises."""
    travels(name, sentence, travel, "raises in forward", "misuse", "guard", "trace")


def fine(name: str, sentence: str, travel: Travel) -> None:
    """Enter a crossing that is correct."""
    travels(name, sentence, travel, "fine", "correct")


def _done() -> torch.Tensor:
    return torch.zeros(BATCH, 1)


def _shared(state: torch.Tensor) -> torch.Tensor:
    return state.share_memory_() if state.device.type == "cpu" else state


def _buffer_copy_inside(state: torch.Tensor) -> torch.Tensor:
    buffer = torch.empty(state.shape)
    with torch.inference_mode():
        buffer.copy_(state)
    return buffer


def _buffer_made_inside_filled_outside(state: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        buffer = torch.empty_like(state)
    return buffer.copy_(state)


def _buffer_set_inside(state: torch.Tensor) -> torch.Tensor:
    buffer = torch.empty(2, *state.shape)
    with torch.inference_mode():
        buffer[1] = state
    return buffer[1]


def _saved(state: torch.Tensor) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


def _load(file: io.BytesIO) -> torch.Tensor:
    loaded: torch.Tensor = torch.load(file, weights_only=True)
    return loaded


def _collated(state: torch.Tensor) -> torch.Tensor:
    (batch,) = next(iter(DataLoader(TensorDataset(state[0].cpu()), batch_size=BATCH)))
    collated: torch.Tensor = batch[None].to(state.device)
    return collated


def _tensor_of_tensor(state: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch recommends clone()
        return torch.tensor(state)


loud("raw", "Pass `initial_hidden()` as it is.", lambda state: state)
loud("detach", "Pass `.detach()` outside.", torch.detach)
loud("to-same-device", "Pass `.to()` the same device.", lambda state: state.to(state.device))
loud("contiguous", "Pass `.contiguous()` of a contiguous tensor.", torch.Tensor.contiguous)
loud("slice-view", "A slice.", lambda state: state[:, 0:BATCH])
loud(
    "transpose-and-reshape",
    "Views by transpose and reshape.",
    lambda state: state.transpose(0, 1).reshape(1, BATCH, -1),
)
loud(
    "split",
    "Pass `torch.split`, which gives views.",
    lambda state: state.split(BATCH, dim=1)[0],
)
loud("as-tensor", "Pass `torch.as_tensor`.", torch.as_tensor)
loud("data", "Pass `.data`.", lambda state: state.data)
loud("share-memory", "Pass `.share_memory_()`.", _shared)
loud(
    "vmap",
    "Pass `torch.vmap` of the identity over environments.",
    torch.vmap(lambda row: row, in_dims=1, out_dims=1),
)
loud("clone-inside", "Pass `.clone()` inside inference mode.", inside(torch.clone))
loud(
    "masked-inside",
    "Pass `h * (1 - done)` inside inference mode.",
    inside(lambda state: state * (1 - _done())),
)
loud(
    "parameter-inside",
    "Pass `nn.Parameter(h)` inside inference mode.",
    inside(lambda state: torch.nn.Parameter(state, requires_grad=True)),
)
loud("deepcopy-inside", "Pass `copy.deepcopy` inside inference mode.", inside(copy.deepcopy))
loud(
    "buffer-made-inside",
    "A buffer made and filled inside inference mode.",
    inside(lambda state: torch.empty_like(state).copy_(state)),
)
fine("clone", "Pass `.clone()` outside.", torch.clone)
fine("detach-clone", "Pass `.detach().clone()` outside.", lambda state: state.detach().clone())
fine("to-copy", "Pass `.to(copy=True)`.", lambda state: state.to(state.device, copy=True))
fine("through-bfloat16", "To bfloat16 and back.", lambda state: state.bfloat16().float())
fine("fancy-index", "A fancy index, which copies.", lambda state: state[:, list(range(BATCH))])
fine(
    "stack",
    "One tensor an environment, then `torch.stack`.",
    lambda state: torch.stack([state[:, i] for i in range(BATCH)], dim=1),
)
fine("cat", "Pass `torch.cat` of slices.", lambda state: torch.cat([state[:, :1], state[:, 1:]], 1))
fine("cat-of-one", "Pass `torch.cat` of one tensor.", lambda state: torch.cat([state]))
fine("masked-outside", "Pass `h * (1 - done)` outside.", lambda state: state * (1 - _done()))
fine(
    "where",
    "Pass `torch.where(done, 0, h)` outside.",
    lambda state: torch.where(_done().bool(), 0.0, state),
)
fine(
    "buffer-copy",
    "Pass `copy_` into an ordinary buffer.",
    lambda state: torch.empty(state.shape).copy_(state),
)
fine(
    "pickled",
    "A round trip through pickle.",
    lambda state: pickle.loads(pickle.dumps(state)),  # noqa: S301 - our own bytes
)
fine("deepcopy", "Pass `copy.deepcopy` outside.", copy.deepcopy)
fine(
    "index-select", "Pass `index_select`.", lambda state: state.index_select(1, torch.arange(BATCH))
)
fine("plus-zero", "Pass `h + 0` outside.", lambda state: state + 0)
fine("buffer-copy-inside", "An ordinary buffer, filled inside inference mode.", _buffer_copy_inside)
fine(
    "save-and-load",
    "`torch.save` and `torch.load` outside.",
    lambda state: _load(_saved(state)),
)
loud(
    "load-inside",
    "`torch.load` inside inference mode.",
    lambda state: inside(_load)(_saved(state)),
)
fine("collated", "A batch of `DataLoader`, which stacks.", _collated)
travels(
    "expanded-row",
    "One row of the state, expanded: the core makes its own copy.",
    lambda state: state[:, :1].expand(-1, BATCH, -1),
    *("fine", "breach", "guard"),
)


@crossing("fine", "correct")
def none(lab: Lab) -> Mapping[str, torch.Tensor]:
    """No state: the training call builds it."""
    return plain(lab)


@crossing("raises in forward", "misuse", "guard", "trace")
def only_h_cloned(lab: Lab) -> Mapping[str, torch.Tensor]:
    """`h` is cloned and `c` is not."""
    h, c = lab.policy.initial_state()
    return lab.terms(lab.evaluate(state=(h.clone(), c)))


@crossing("raises on the way", "misuse", "trace")
def written_outside(lab: Lab) -> Mapping[str, torch.Tensor]:
    """A write into the state outside inference mode."""
    h, c = lab.policy.initial_state()
    h[:, 0] = 0.0
    return lab.terms(lab.evaluate(state=(h, c)))


@crossing("raises in forward", "misuse", "guard", "trace")
def only_c_cloned(lab: Lab) -> Mapping[str, torch.Tensor]:
    """`c` is cloned and `h` is not."""
    h, c = lab.policy.initial_state()
    return lab.terms(lab.evaluate(state=(h, c.clone())))


travels(
    "buffer-made-inside-filled-outside",
    "A buffer made inside inference mode is filled outside.",
    _buffer_made_inside_filled_outside,
    *("raises on the way", "misuse", "trace"),
)
fine(
    "buffer-set-inside",
    "An item of an ordinary buffer is set inside, and viewed outside.",
    _buffer_set_inside,
)
fine(
    "through-numpy",
    "`torch.from_numpy(h.numpy())`.",
    lambda state: torch.from_numpy(state.cpu().numpy()).to(state.device),
)
fine("through-dlpack", "A round trip through DLPack.", from_dlpack)
fine("shallow-copy", "`copy.copy` outside: an ordinary tensor, on the same memory.", copy.copy)
fine("tensor-of-tensor", "`torch.tensor(h)`, which copies.", _tensor_of_tensor)
fine(
    "gathered",
    "`gather` along the batch.",
    lambda state: state.gather(1, torch.arange(BATCH)[None, :, None].expand_as(state)),
)
fine("shared-clone", "A clone in shared memory.", lambda state: _shared(state.clone()))
fine(
    "cloned-under-nested-mode",
    "A clone made under `inference_mode(False)` inside inference mode.",
    inside(torch.inference_mode(mode=False)(torch.clone)),
)
