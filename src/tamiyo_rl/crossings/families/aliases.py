"""Memory that the rollout overwrites while training still needs it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
from torch.utils.dlpack import from_dlpack

from tamiyo_rl.crossings.catalogue import crossing, plain
from tamiyo_rl.crossings.lab import BATCH, WIDTH, Lab

Terms = Mapping[str, torch.Tensor]
COPIES = "C6: RolloutBuffer copies what it is given, and what it gives out"


@crossing("silently wrong", "misuse", instead=COPIES)
def numpy_overwritten(lab: Lab) -> Terms:
    """Features shared by `from_numpy` are overwritten before `backward()`."""
    array = lab.features.cpu().numpy()
    terms = lab.terms(lab.evaluate(torch.from_numpy(array).to(lab.features.device)))
    array[:] = 0.0
    return terms


@crossing("silently wrong", "misuse", instead=COPIES)
def dlpack_overwritten(lab: Lab) -> Terms:
    """Features shared by DLPack are overwritten before `backward()`."""
    terms = lab.terms(lab.evaluate(from_dlpack(lab.features)))
    lab.features.zero_()
    return terms


@crossing("silently wrong", "misuse", instead=COPIES)
def data_overwritten(lab: Lab) -> Terms:
    """Features are overwritten by `.data` before `backward()`."""
    terms = plain(lab)
    lab.features.data.zero_()
    return terms


@crossing("raises in backward", "misuse", instead=COPIES)
def view_overwritten(lab: Lab) -> Terms:
    """Features are overwritten in place before `backward()`: PyTorch counts versions."""
    terms = plain(lab)
    lab.features.zero_()
    return terms


@crossing("fine", "correct")
def copy_kept(lab: Lab) -> Terms:
    """A copy is trained on, and the rollout's memory is overwritten."""
    terms = lab.terms(lab.evaluate(lab.features.clone()))
    lab.features.zero_()
    return terms


@crossing("silently wrong", "misuse", "ratio")
def references_to_one_tensor(lab: Lab) -> Terms:
    """A list of references to one tensor that is updated in place: every step is the last."""
    current = torch.empty_like(lab.features[:, 0])
    steps = []
    for step in lab.features.unbind(1):
        current.copy_(step)
        steps.append(current)
    return lab.terms(lab.evaluate(torch.stack(steps, dim=1)))


@crossing("silently wrong", "misuse", instead="LSTMPolicyBundle never writes to its parameters")
def weights_overwritten(lab: Lab) -> Terms:
    """Weights are synchronised by `p.data.copy_` between forward and backward."""
    terms = plain(lab)
    for parameter in lab.policy.policy_head.parameters():
        parameter.data.mul_(2.0)
    return terms


@crossing("silently wrong", "misuse", "ratio")
def detached_write(lab: Lab) -> Terms:
    """`features.detach().add_(1)`: the rollout's own value changes."""
    lab.features.detach().add_(1)
    return plain(lab)


@crossing("fine", "correct")
def reset_by_where(lab: Lab) -> Terms:
    """The rollout's state is reset by `torch.where` outside."""
    h, c = lab.policy.initial_state()
    done = torch.ones(BATCH, 1, dtype=torch.bool)
    zero = torch.zeros(1, BATCH, WIDTH)
    return lab.terms(lab.evaluate(state=(torch.where(done, zero, h), torch.where(done, zero, c))))


@crossing("raises in backward", "misuse", instead="RolloutBuffer stores states without a graph")
def graph_carried_over(lab: Lab) -> Terms:
    """The state keeps its graph from one update to the next."""
    _, _, state = lab.policy(lab.features, lab.policy.start(BATCH))
    state[0].sum().backward()
    return lab.terms(lab.evaluate(state=state))


@crossing("silently wrong", "misuse", instead=COPIES)
def shallow_copy_overwritten(lab: Lab) -> Terms:
    """`copy.copy` of rollout features shares their memory, which is overwritten."""
    rollout = lab.rollout(lab.features)
    terms = lab.terms(lab.evaluate(copy.copy(rollout)))
    with torch.inference_mode():
        rollout.zero_()
    return terms


@crossing("silently wrong", "misuse", instead=COPIES)
def context_overwritten(lab: Lab) -> Terms:
    """A custom function keeps a tensor on its context, which is overwritten."""
    scale = torch.ones(())
    new = lab.evaluate()
    scaled: torch.Tensor = _Scale.apply(new.value, scale)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    scale.zero_()
    return lab.terms(new._replace(value=scaled))


@crossing("raises in backward", "misuse", instead=COPIES)
def view_overwritten_inside(lab: Lab) -> Terms:
    """Features are overwritten under inference mode: PyTorch counts versions there too."""
    terms = plain(lab)
    with torch.inference_mode():
        lab.features.zero_()
    return terms


@crossing("fine", "correct")
def reset_by_product(lab: Lab) -> Terms:
    """`h * (1 - done)` with `done` as the rollout made it: the difference is ordinary."""
    done = lab.rollout(torch.zeros(BATCH, 1))
    h, c = (part.clone() * (1 - done) for part in lab.policy.initial_state())
    return lab.terms(lab.evaluate(state=(h, c)))


@crossing("raises on the way", "misuse", "trace")
def reset_by_saved_mask(lab: Lab) -> Terms:
    """`h * not_done` of a state with a graph, `not_done` as the rollout made it."""
    not_done = lab.rollout(torch.ones(BATCH, 1))
    _, _, state = lab.policy(lab.features, lab.policy.start(BATCH))
    h, c = (part * not_done for part in state)
    return lab.terms(lab.evaluate(state=(h, c)))


class _Scale(torch.autograd.Function):
    """A product whose factor is kept on the context without `save_for_backward`."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        ctx.scale = scale
        return value * scale

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient * ctx.scale, None


@crossing("silently wrong", "misuse", instead=COPIES)
def shared_memory_overwritten(lab: Lab) -> Terms:
    """Features in shared memory are overwritten through another handle on it."""
    shared = lab.features.cpu().share_memory_()
    handle = pickle.loads(ForkingPickler.dumps(shared))  # noqa: S301 - our own bytes
    terms = lab.terms(lab.evaluate(shared.to(lab.features.device)))
    handle.zero_()
    return terms
