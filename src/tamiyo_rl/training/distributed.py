"""Several processes that train one policy; with a single process, a function returns its argument.

The parameters, the optimizer and the normalisers are the same in every process. The environments,
their hidden states and the random numbers differ.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray

# How long a process waits for the others. One that dies is noticed at once by gloo, so this is
# for one that hangs, and longer than any rollout should take.
PATIENCE = timedelta(minutes=5)


class LostProcessError(RuntimeError):
    """Another process of the group died or hangs, so that this one cannot go on."""


@contextmanager
def process_group(timeout: timedelta = PATIENCE) -> Iterator[None]:
    """Join the processes that `torchrun` started; do nothing with a single process.

    Tensors on the CPU travel by gloo, those on CUDA by NCCL.

    Args:
        timeout: How long to wait for another process.

    Raises:
        LostProcessError: If another process dies or hangs meanwhile.

    Examples:
        ```python
        from tamiyo_rl.training import process_group, rank, world_size

        with process_group():
            print(rank(), world_size())
        ```

        ```text
        0 1
        ```
    """
    if not launched():
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=timeout)
    try:
        yield
    except RuntimeError as error:
        if not _is_lost_connection(error):
            raise
        raise LostProcessError(
            f"process {rank()} of {world_size()}: another process died or hangs, so that this "
            "one stops"
            "\n  do: look for the first error above, then go on with train --resume"
        ) from error
    finally:
        dist.destroy_process_group()


def launched() -> bool:
    """Tell whether `torchrun` started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank() -> int:
    """Return the number of this process in its group; 0 without a group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return how many processes train together; 1 without a group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_device(kind: str) -> torch.device:
    """Return the device of this process: on CUDA, each process of a machine has its own.

    Args:
        kind: `cpu` or `cuda`.

    Raises:
        ValueError: If this machine has no such device.
    """
    if kind != "cuda":
        return torch.device(kind)
    index = int(os.environ.get("LOCAL_RANK", "0"))
    count = torch.cuda.device_count()
    if index >= count:
        raise ValueError(
            f"device: expected one that this machine has, got cuda:{index} of {count} on CUDA. "
            "Start fewer processes, or train on the CPU."
        )
    return torch.device(kind, index)


def gather_rows(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the rows `[B, ...]` of all processes, one after the other."""
    if world_size() == 1:
        return rows
    return torch.cat(_gather(torch.from_numpy(np.ascontiguousarray(rows)))).numpy()


def mean_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """Return the mean over the processes, without a gradient."""
    if world_size() == 1:
        return tensor.detach()
    total = tensor.detach().clone()
    with _let_go([total]):
        dist.all_reduce(total)
    return total / world_size()


def gather_to_first(value: Any) -> list[Any]:
    """Return the values of all processes in the first one; elsewhere an empty list.

    Args:
        value: Tensors and plain values, as a checkpoint holds them.
    """
    if world_size() == 1:
        return [value]
    stream = io.BytesIO()
    torch.save(value, stream)  # gather_object() cannot pickle tensors of some dtypes
    own = torch.frombuffer(stream.getbuffer(), dtype=torch.uint8)
    sizes = [int(size) for size in _gather(torch.tensor(len(own), device="cpu"))]
    padded = torch.zeros(max(sizes), dtype=torch.uint8, device="cpu")
    padded[: len(own)] = own
    every = _gather(padded)
    if rank() > 0:
        return []
    saved = [part[:size].numpy().tobytes() for part, size in zip(every, sizes, strict=True)]
    return [torch.load(io.BytesIO(data), weights_only=True) for data in saved]


def largest_of_processes(number: float) -> float:
    """Return the largest number of all processes, the same in each."""
    if world_size() == 1:
        return number
    largest = torch.tensor(number, dtype=torch.float64, device="cpu")
    with _let_go([largest]):
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return float(largest)


def _gather(own: torch.Tensor) -> list[torch.Tensor]:
    """Return the tensor of each process, all of one shape, in every process."""
    every = [torch.empty_like(own) for _ in range(world_size())]
    with _let_go([own, *every]):
        dist.all_gather(every, own)
    return every


@contextmanager
def _let_go(tensors: list[torch.Tensor]) -> Iterator[None]:
    """At the end, wait until the threads of gloo have let go of the tensors.

    To let go of a tensor that Python made, a thread needs the interpreter's lock: a process that
    ends before is aborted, and one that frees the group before waits for ever
    (pytorch/pytorch#190489). NCCL has no such threads, and waiting would cost a synchronisation.
    """
    before = [_references(tensor) for tensor in tensors]
    yield
    deadline = time.monotonic() + 1  # a debugger may hold one for ever
    while tensors[0].is_cpu and [_references(tensor) for tensor in tensors] != before:
        if time.monotonic() > deadline:
            return
        time.sleep(0)


def _references(tensor: torch.Tensor) -> tuple[int, int]:
    """Count who holds a tensor: in PyTorch 2.9 Python's count does not show a thread of C++."""
    return sys.getrefcount(tensor), tensor._use_count()  # type: ignore[attr-defined]


def _is_lost_connection(error: RuntimeError) -> bool:
    """Recognise what gloo and NCCL raise; gloo's errors have no class of their own."""
    words = ("Connection closed", "Connection reset", "Broken pipe", "Timed out", "timeout")
    return isinstance(error, dist.DistError) or any(word in str(error) for word in words)
