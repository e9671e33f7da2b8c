"""Isolation of an example, as if it were pasted into an empty file."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

import gymnasium
import torch
from sybil import Example
from sybil.example import SybilFailure


@contextmanager
def isolate_example(example: Example) -> Iterator[dict[str, Any]]:
    """Give a fresh namespace, and fail if the example leaks a mode that is global."""
    with _restore_torch(), _forget_environments(), _replace_main() as module:
        yield vars(module)
        _reject_leaks(example)


@contextmanager
def _restore_torch() -> Iterator[None]:
    dtype = torch.get_default_dtype()
    # Leaving inference_mode() restores grad mode as well.
    with _restore_generators(), torch.inference_mode(mode=False):
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_default_device(None)


@contextmanager
def _restore_generators() -> Iterator[None]:
    with ExitStack() as stack:
        for kind in ("cuda", "strict"):
            if hasattr(torch, kind):
                # fork_rng() warns if it chooses among several devices by itself.
                devices = range(torch.get_device_module(kind).device_count())
                stack.enter_context(torch.random.fork_rng(devices, device_type=kind))
        yield


@contextmanager
def _forget_environments() -> Iterator[None]:
    """Forget the environments that an example registers: it runs again on the next device."""
    try:
        yield
    finally:
        own = [name for name, spec in gymnasium.registry.items() if _is_of_main(spec.entry_point)]
        for name in own:
            del gymnasium.registry[name]


def _is_of_main(entry_point: object) -> bool:
    return getattr(entry_point, "__module__", None) == "__main__"


@contextmanager
def _replace_main() -> Iterator[ModuleType]:
    # The real module, so that pickle finds the classes of the example.
    replaced = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield sys.modules["__main__"]
    finally:
        sys.modules["__main__"] = replaced


def _reject_leaks(example: Example) -> None:
    if torch.is_inference_mode_enabled():
        raise SybilFailure(
            example, "expected inference mode off at the end, found it on. Leave it."
        )
    if not torch.is_grad_enabled():
        raise SybilFailure(example, "expected grad mode on at the end, found it off. Restore it.")
