"""Taps into PyTorch: what calls the watches at each `backward()` and optimizer step.

PyTorch has global hooks for the steps of its optimizers. It has none for `backward()`, so
`torch.autograd.backward`, which `Tensor.backward` calls, is wrapped while a watch runs.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import RemovableHandle

from tamiyo_rl.contract.watch.summands import Additions


class Observer(Protocol):
    """What is told of a training."""

    @property
    def needs_terms(self) -> bool:
        """Whether the terms of the loss are still looked at."""

    def before_backward(self, roots: tuple[torch.Tensor, ...]) -> None:
        """See the roots of a graph that is about to be differentiated."""

    def after_backward(self) -> None:
        """See that the gradients are there."""

    def after_step(self, optimizer: Optimizer) -> None:
        """See an optimizer that has taken a step."""


class Taps:
    """The observers of this process, and the wrappers that tell them."""

    _handle: RemovableHandle

    def __init__(self) -> None:
        self._observers: list[Observer] = []
        self._additions = Additions()
        self._lock = threading.RLock()
        self._backward: Callable[..., None] = torch.autograd.backward
        self._wrapper = self._backward
        self._is_inside = False

    def add(self, observer: Observer) -> None:
        """Begin to tell an observer."""
        with self._lock:
            if not self._observers:
                self._open()
            self._observers.append(observer)
            self._additions.open()

    def remove(self, observer: Observer) -> None:
        """Tell an observer no more; after the last one, PyTorch is as it was."""
        with self._lock:
            self._observers.remove(observer)
            if not self._observers:
                self._close()

    def _open(self) -> None:
        self._backward = torch.autograd.backward
        self._wrapper = torch.autograd.backward = self._telling(self._backward)
        self._handle = register_optimizer_step_post_hook(self._after_step)

    def _close(self) -> None:
        if torch.autograd.backward is self._wrapper:  # else somebody has wrapped it since
            torch.autograd.backward = self._backward
        self._additions.close()
        self._handle.remove()

    def _telling(self, original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
            if self._is_inside:  # checkpointing differentiates a part of the graph by itself
                original(tensors, *args, **kwargs)
                return
            several = tensors if isinstance(tensors, list | tuple) else (tensors,)
            roots = tuple(root for root in several if isinstance(root, torch.Tensor))
            self._tell(lambda observer: observer.before_backward(roots))
            self._is_inside = True
            try:
                original(tensors, *args, **kwargs)
            finally:
                self._is_inside = False
            self._tell(lambda observer: observer.after_backward())
            self._close_additions()

        return backward

    def _after_step(self, optimizer: Optimizer, *_: Any) -> None:
        self._tell(lambda observer: observer.after_step(optimizer))
        self._close_additions()

    def _close_additions(self) -> None:
        if not any(observer.needs_terms for observer in tuple(self._observers)):
            self._additions.close()

    def _tell(self, tell: Callable[[Observer], None]) -> None:
        for observer in tuple(self._observers):
            with suppress(Exception):  # a watch must not end a training
                tell(observer)


_TAPS = Taps()
add_observer = _TAPS.add
remove_observer = _TAPS.remove
