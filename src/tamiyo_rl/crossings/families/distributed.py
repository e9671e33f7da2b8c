"""`DistributedDataParallel`, in a group of one process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tamiyo_rl.crossings.catalogue import crossing
from tamiyo_rl.crossings.lab import BATCH, Lab, evaluation

Terms = Mapping[str, torch.Tensor]


@contextmanager
def _group_of_one() -> Iterator[None]:
    with TemporaryDirectory() as folder:
        store = f"file://{folder}/store"
        dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
        try:
            yield
        finally:
            dist.destroy_process_group()


def _train(lab: Lab, wrapped: DistributedDataParallel) -> Terms:
    """Differentiate while the group lives."""
    log_probs, value, _ = wrapped(lab.features, lab.policy.start(BATCH))
    terms = lab.terms(evaluation(log_probs, value, lab.actions))
    with lab.during("in backward"):
        torch.stack(list(terms.values())).sum().backward()
    return {}


@crossing("fine", "correct")
def inference_forward_first(lab: Lab) -> Terms:
    """A rollout through the wrapped network, and then training through it."""
    with _group_of_one():
        wrapped = DistributedDataParallel(lab.policy)
        with torch.inference_mode():
            wrapped(lab.features, lab.policy.start(BATCH))
        return _train(lab, wrapped)


@crossing("raises in backward", "misuse", "trace")
def wrapped_inside(lab: Lab) -> Terms:
    """The network is wrapped inside inference mode: its gradient buckets are inference tensors."""
    with _group_of_one():
        with torch.inference_mode():
            wrapped = DistributedDataParallel(lab.policy)
        return _train(lab, wrapped)
