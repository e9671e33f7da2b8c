"""How the hidden state travels from `initial_hidden()` to the training call."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable, Mapping

import torch
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.dlpack import from_dlpack

from tamiyo_rl.crossings.catalogue import Outcome, Tool, Verdict, crossing, plain
from tamiyo_rl.crossings.lab import BATCH, Lab

Travel = Callable[[torch.Tensor], torch.Tensor]


def travels(expected: Outcome, verdict: Verdict, *noticed_by: Tool) -> Callable[[Travel], Travel]:
    """Enter a crossing that does one thing to each tensor of the state."""

    def enter(travel: Travel) -> Travel:
        def run(lab: Lab) -> Mapping[str, torch.Tensor]:
            h, c = (travel(part) for part in lab.policy.initial_state())
            return lab.terms(lab.evaluate(state=(h, c)))

        run.__name__, run.__doc__, run.__module__ = travel.__name__, travel.__doc__, __name__
        crossing(expected, verdict, *noticed_by)(run)
        return travel

    return enter


loud = travels("raises in forward", "misuse", "guard", "trace")
fine = travels("fine", "correct")


@loud
def raw(state: torch.Tensor) -> torch.Tensor:
    """Pass `initial_hidden()` as it is."""
    return state


@loud
def detach(state: torch.Tensor) -> torch.Tensor:
    """Pass `.detach()` outside."""
    return state.detach()


@loud
def to_same_device(state: torch.Tensor) -> torch.Tensor:
    """Pass `.to()` the same device."""
    return state.to(state.device)


@loud
def contiguous(state: torch.Tensor) -> torch.Tensor:
    """Pass `.contiguous()` of a contiguous tensor."""
    return state.contiguous()


@loud
def slice_view(state: torch.Tensor) -> torch.Tensor:
    """A slice."""
    return state[:, 0:BATCH]


@loud
def transpose_and_reshape(state: torch.Tensor) -> torch.Tensor:
    """Views by transpose and reshape."""
    return state.transpose(0, 1).reshape(1, BATCH, -1)


@loud
def split(state: torch.Tensor) -> torch.Tensor:
    """Pass `torch.split`, which gives views."""
    return state.split(BATCH, dim=1)[0]  # type: ignore[no-any-return]  # torch leaves it untyped


@loud
def as_tensor(state: torch.Tensor) -> torch.Tensor:
    """Pass `torch.as_tensor`."""
    return torch.as_tensor(state)


@loud
def data(state: torch.Tensor) -> torch.Tensor:
    """Pass `.data`."""
    return state.data


@loud
def share_memory(state: torch.Tensor) -> torch.Tensor:
    """Pass `.share_memory_()`."""
    return state.share_memory_() if state.device.type == "cpu" else state


@loud
def vmap(state: torch.Tensor) -> torch.Tensor:
    """Pass `torch.vmap` of the identity over environments."""
    return torch.vmap(lambda row: row, in_dims=1, out_dims=1)(state)  # type: ignore[no-any-return]  # torch leaves it untyped


@loud
def clone_inside(state: torch.Tensor) -> torch.Tensor:
    """Pass `.clone()` inside inference mode."""
    with torch.inference_mode():
        return state.clone()


@loud
def masked_inside(state: torch.Tensor) -> torch.Tensor:
    """Pass `h * (1 - done)` inside inference mode."""
    with torch.inference_mode():
        return state * (1 - torch.zeros(BATCH, 1))


@loud
def parameter_inside(state: torch.Tensor) -> torch.Tensor:
    """Pass `nn.Parameter(h)` inside inference mode."""
    with torch.inference_mode():
        return torch.nn.Parameter(state)


@loud
def deepcopy_inside(state: torch.Tensor) -> torch.Tensor:
    """Pass `copy.deepcopy` inside inference mode."""
    with torch.inference_mode():
        return copy.deepcopy(state)


@loud
def buffer_made_inside(state: torch.Tensor) -> torch.Tensor:
    """A buffer made and filled inside inference mode."""
    with torch.inference_mode():
        return torch.empty_like(state).copy_(state)


@fine
def clone(state: torch.Tensor) -> torch.Tensor:
    """Pass `.clone()` outside."""
    return state.clone()


@fine
def detach_clone(state: torch.Tensor) -> torch.Tensor:
    """Pass `.detach().clone()` outside."""
    return state.detach().clone()


@fine
def to_copy(state: torch.Tensor) -> torch.Tensor:
    """Pass `.to(copy=True)`."""
    return state.to(state.device, copy=True)


@fine
def through_bfloat16(state: torch.Tensor) -> torch.Tensor:
    """To bfloat16 and back."""
    return state.to(torch.bfloat16).to(torch.float32)


@fine
def fancy_index(state: torch.Tensor) -> torch.Tensor:
    """A fancy index, which copies."""
    return state[:, list(range(BATCH))]


@fine
def stack(state: torch.Tensor) -> torch.Tensor:
    """One tensor an environment, then `torch.stack`."""
    return torch.stack([state[:, i] for i in range(BATCH)], dim=1)


@fine
def cat(state: torch.Tensor) -> torch.Tensor:
    """Pass `torch.cat` of slices."""
    return torch.cat([state[:, :1], state[:, 1:]], dim=1)


@fine
def cat_of_one(state: torch.Tensor) -> torch.Tensor:
    """Pass `torch.cat` of one tensor."""
    return torch.cat([state])


@fine
def masked_outside(state: torch.Tensor) -> torch.Tensor:
    """Pass `h * (1 - done)` outside."""
    return state * (1 - torch.zeros(BATCH, 1))


@fine
def where(state: torch.Tensor) -> torch.Tensor:
    """Pass `torch.where(done, 0, h)` outside."""
    return torch.where(torch.zeros(BATCH, 1, dtype=torch.bool), 0.0, state)


@fine
def buffer_copy(state: torch.Tensor) -> torch.Tensor:
    """Pass `copy_` into an ordinary buffer."""
    return torch.empty(state.shape).copy_(state)


@fine
def pickled(state: torch.Tensor) -> torch.Tensor:
    """A round trip through pickle."""
    return pickle.loads(pickle.dumps(state))  # type: ignore[no-any-return]  # noqa: S301 - our own bytes


@fine
def deepcopy(state: torch.Tensor) -> torch.Tensor:
    """Pass `copy.deepcopy` outside."""
    return copy.deepcopy(state)


@fine
def index_select(state: torch.Tensor) -> torch.Tensor:
    """Pass `index_select`."""
    return state.index_select(1, torch.arange(BATCH))


@fine
def plus_zero(state: torch.Tensor) -> torch.Tensor:
    """Pass `h + 0` outside."""
    return state + 0


@fine
def buffer_copy_inside(state: torch.Tensor) -> torch.Tensor:
    """An ordinary buffer, filled inside inference mode."""
    buffer = torch.empty(state.shape)
    with torch.inference_mode():
        buffer.copy_(state)
    return buffer


@fine
def save_and_load(state: torch.Tensor) -> torch.Tensor:
    """`torch.save` and `torch.load` outside."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)  # type: ignore[no-any-return]  # torch leaves it untyped


@loud
def load_inside(state: torch.Tensor) -> torch.Tensor:
    """`torch.load` inside inference mode."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    with torch.inference_mode():
        return torch.load(file, weights_only=True)  # type: ignore[no-any-return]  # torch leaves it untyped


@fine
def collated(state: torch.Tensor) -> torch.Tensor:
    """A batch of `DataLoader`, which stacks."""
    (batch,) = next(iter(DataLoader(TensorDataset(state[0].cpu()), batch_size=BATCH)))
    return batch[None].to(state.device)  # type: ignore[no-any-return]  # torch leaves it untyped


@travels("fine", "breach", "guard")
def expanded_row(state: torch.Tensor) -> torch.Tensor:
    """One row of the state, expanded: the core makes its own copy."""
    return state[:, :1].expand(-1, BATCH, -1)


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


@travels("raises on the way", "misuse", "trace")
def buffer_made_inside_filled_outside(state: torch.Tensor) -> torch.Tensor:
    """A buffer made inside inference mode is filled outside."""
    with torch.inference_mode():
        buffer = torch.empty_like(state)
    return buffer.copy_(state)


@fine
def buffer_set_inside(state: torch.Tensor) -> torch.Tensor:
    """An item of an ordinary buffer is set inside, and viewed outside."""
    buffer = torch.empty(2, *state.shape)
    with torch.inference_mode():
        buffer[1] = state
    return buffer[1]


@fine
def through_numpy(state: torch.Tensor) -> torch.Tensor:
    """`torch.from_numpy(h.numpy())`."""
    return torch.from_numpy(state.cpu().numpy()).to(state.device)


@fine
def through_dlpack(state: torch.Tensor) -> torch.Tensor:
    """A round trip through DLPack."""
    return from_dlpack(state)


@fine
def shallow_copy(state: torch.Tensor) -> torch.Tensor:
    """`copy.copy` outside: an ordinary tensor, on the same memory."""
    return copy.copy(state)


@fine
def tensor_of_tensor(state: torch.Tensor) -> torch.Tensor:
    """`torch.tensor(h)`, which copies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch recommends clone()
        return torch.tensor(state)


@fine
def gathered(state: torch.Tensor) -> torch.Tensor:
    """`gather` along the batch."""
    return state.gather(1, torch.arange(BATCH)[None, :, None].expand_as(state))


@fine
def shared_clone(state: torch.Tensor) -> torch.Tensor:
    """A clone in shared memory."""
    copied = state.clone()
    return copied.share_memory_() if state.device.type == "cpu" else copied


@fine
def cloned_under_nested_mode(state: torch.Tensor) -> torch.Tensor:
    """A clone made under `inference_mode(False)` inside inference mode."""
    with torch.inference_mode(), torch.inference_mode(mode=False):
        return state.clone()
