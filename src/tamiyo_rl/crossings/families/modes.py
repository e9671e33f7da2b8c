"""Modes that leak out of the rollout."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator, Mapping

import torch

from tamiyo_rl.crossings.catalogue import crossing, plain
from tamiyo_rl.crossings.lab import BATCH, Lab, State

Terms = Mapping[str, torch.Tensor]


def _decay(lab: Lab) -> torch.Tensor:
    return 1e-2 * torch.stack([p.square().sum() for p in lab.policy.parameters()]).sum()


def _with_decay(lab: Lab) -> Terms:
    return lab.terms(lab.evaluate(), decay=_decay(lab))


def _leaking() -> Generator[None]:
    with torch.inference_mode():
        yield


@torch.inference_mode()
def _decorated() -> Iterator[None]:
    yield


@crossing("raises in backward", "misuse", "audit")
def no_grad(lab: Lab) -> Terms:
    """The training call under a leaked `no_grad`."""
    with torch.no_grad():
        new = lab.evaluate()
    return lab.terms(new)


@crossing("silently wrong", "misuse", "audit", reference=_with_decay)
def no_grad_with_decay(lab: Lab) -> Terms:
    """The same, with a weight penalty that is added outside."""
    with torch.no_grad():
        new = lab.evaluate()
    return lab.terms(new, decay=_decay(lab))


@crossing("silently wrong", "misuse", "audit", reference=_with_decay)
def inference_mode_with_decay(lab: Lab) -> Terms:
    """The training call under a leaked inference mode, with a weight penalty added outside."""
    with torch.inference_mode():
        new = lab.evaluate()
    return lab.terms(new, decay=_decay(lab))


@crossing("silently wrong", "misuse", "guard", reference=_with_decay)
def enable_grad_inside_inference_mode(lab: Lab) -> Terms:
    """`enable_grad()` inside inference mode: grad looks enabled, and nothing is recorded."""
    with torch.inference_mode(), torch.enable_grad():
        new = lab.evaluate()
    return lab.terms(new, decay=_decay(lab))


@crossing("fine", "correct")
def inference_mode_left(lab: Lab) -> Terms:
    """`inference_mode(False)` inside inference mode: recording is on again."""
    with torch.inference_mode(), torch.inference_mode(mode=False):
        return plain(lab)


@crossing("raises in backward", "misuse", "audit")
def generator(lab: Lab) -> Terms:
    """A generator that yields inside `with inference_mode()` leaks it to its consumer."""
    steps = _leaking()
    next(steps)
    try:
        terms = plain(lab)
    finally:
        steps.close()
    return terms


@crossing("fine", "correct")
def decorated_generator(lab: Lab) -> Terms:
    """A generator decorated with `inference_mode()` does not leak it."""
    steps = _decorated()
    next(steps)
    terms = plain(lab)
    list(steps)
    return terms


@crossing("silently wrong", "misuse", "audit", reference=_with_decay)
def coroutine(lab: Lab) -> Terms:
    """A coroutine that awaits inside inference mode, while another one trains."""
    return asyncio.run(_collect_and_train(lab)) | {"decay": _decay(lab)}


async def _collect_and_train(lab: Lab) -> dict[str, torch.Tensor]:
    inside = asyncio.Event()
    trained = asyncio.Event()

    async def collect() -> None:
        with torch.inference_mode():
            inside.set()
            await trained.wait()

    async def train() -> dict[str, torch.Tensor]:
        await inside.wait()
        try:
            return dict(plain(lab))
        finally:
            trained.set()

    _, terms = await asyncio.gather(collect(), train())
    return terms


@crossing("fine", "correct")
def another_thread(lab: Lab) -> Terms:
    """Another thread holds inference mode: the mode belongs to its thread."""
    inside = threading.Event()
    trained = threading.Event()

    def collect() -> None:
        with torch.inference_mode():
            inside.set()
            trained.wait()

    thread = threading.Thread(target=collect)
    thread.start()
    inside.wait()
    try:
        return plain(lab)
    finally:
        trained.set()
        thread.join()


@crossing("fine", "correct")
def backward_inside(lab: Lab) -> Terms:
    """`backward()` under inference mode, of a graph built outside."""
    loss = torch.stack(list(plain(lab).values())).sum()
    with torch.inference_mode():
        loss.backward()
    return {}


@crossing("raises on the way", "misuse", "trace")
def backward_inside_then_clip(lab: Lab) -> Terms:
    """`backward()` under inference mode, then `clip_grad_norm_` outside."""
    backward_inside(lab)
    torch.nn.utils.clip_grad_norm_(lab.policy.parameters(), 0.1)
    return {}


@crossing("fine", "correct")
def no_grad_left_by_inference_mode_off(lab: Lab) -> Terms:
    """`inference_mode(False)` inside `no_grad`: grad is on again."""
    with torch.no_grad(), torch.inference_mode(mode=False):
        return plain(lab)


@crossing("raises in backward", "misuse", "audit")
def coroutine_without_decay(lab: Lab) -> Terms:
    """A coroutine that awaits inside inference mode while another one trains, and nothing else."""
    return asyncio.run(_collect_and_train(lab))


@crossing("silently wrong", "misuse", "audit", reference=_with_decay)
def generator_with_decay(lab: Lab) -> Terms:
    """A leaking generator, with a weight penalty that is added outside."""
    return dict(generator(lab)) | {"decay": _decay(lab)}


@crossing("raises in backward", "misuse", "trace")
def accumulation_inside_then_outside(lab: Lab) -> Terms:
    """The first backward of two runs under inference mode."""
    backward_inside(lab)
    return plain(lab)


@crossing("fine", "correct")
def optimizer_loaded_inside(lab: Lab) -> Terms:
    """`optimizer.load_state_dict` of an ordinary state under inference mode."""
    with torch.inference_mode():
        lab.optimizer.load_state_dict(lab.optimizer.state_dict())
    return plain(lab)


async def _act(lab: Lab) -> State:
    _, _, state = lab.policy(lab.features[:, :1], lab.policy.start(BATCH))
    return state  # type: ignore[no-any-return]  # the call of a module is untyped


def _later_steps(lab: Lab, state: State) -> Terms:
    lab.old = lab.old._replace(log_prob=lab.old.log_prob[:, 1:])
    lab.advantages = lab.advantages[:, 1:]
    lab.returns = lab.returns[:, 1:]
    return lab.terms(lab.evaluate(lab.features[:, 1:], lab.actions[:, 1:], state))


def _from_stored_state(lab: Lab) -> Terms:
    h, c = asyncio.run(_act(lab))
    return _later_steps(lab, (h.detach(), c.detach()))


@crossing(
    "silently wrong",
    "misuse",
    reference=_from_stored_state,
    instead="C6: RolloutBuffer stores states without a graph",
)
def decorated_coroutine(lab: Lab) -> Terms:
    """`@torch.inference_mode()` on an `async def`: its body does not run in inference mode."""
    return _later_steps(lab, asyncio.run(torch.inference_mode()(_act)(lab)))
