"""The tracer: it tells where an inference tensor was made, and through which views it got here.

PyTorch's errors about inference tensors name no argument and no line. While `trace_crossings()`
is on, each of them gains a note that names both.
"""

from __future__ import annotations

import linecache
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils.weak import WeakIdKeyDictionary, WeakTensorKeyDictionary

from tamiyo_rl.contract.graph import shares_storage, storage_of
from tamiyo_rl.contract.nesting import walk_tensors
from tamiyo_rl.contract.wording import and_more, shortened

_MESSAGES = (
    "Inference tensors cannot be saved for backward",
    "Inplace update to inference tensor outside InferenceMode",
)
_PACKAGES = (torch.__name__, __name__.partition(".")[0])
_STANDARD = (sysconfig.get_path("stdlib"), "<frozen ")
_INSTALLED = {"site-packages", "dist-packages"}
_VIEWS_AT_EACH_END = 3  # that a note tells
_MOST_ARGUMENTS = 8  # that a note tells


@dataclass(frozen=True)
class _Travel:
    """Where a tensor was made and the views taken since, as text, so that nothing is kept alive."""

    made: str
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    between: int = 0

    def then(self, step: str) -> _Travel:
        """Return this travel with one more view; of many, only count the middle ones."""
        if len(self.first) < _VIEWS_AT_EACH_END:
            return replace(self, first=(*self.first, step))
        last = (*self.last, step)
        dropped = max(0, len(last) - _VIEWS_AT_EACH_END)
        return replace(self, last=last[dropped:], between=self.between + dropped)

    def __str__(self) -> str:
        between = [f"then by {self.between:,} more views"] if self.between else []
        first, last = ([f"then {step}" for step in steps] for steps in (self.first, self.last))
        return "\n    ".join([self.made, *first, *between, *last])


_UNSEEN = _Travel("trace_crossings() did not see it made")


@contextmanager
def trace_crossings() -> Iterator[None]:
    """Make errors and warnings about inference tensors say where the tensor was made.

    Within the context, PyTorch's "Inference tensors cannot be saved for backward" and "Inplace
    update to inference tensor outside InferenceMode" gain a note (PEP 678), and
    `InferenceTensorWarning` a line: the operation, its argument, the line that made the tensor,
    and the views since. It is for debugging: each operation of PyTorch in the context costs a
    Python call. It keeps no tensor alive, and costs nothing outside.

    A line is the user's own: the innermost that is not in the standard library or an installed
    package. For a tensor that was made unseen, no line is given: it was made before the context
    was entered, in another thread, or in a function that `torch.compile` compiled. Compiled
    functions run as they do outside.

    Examples:
        ```python
        import torch
        from tamiyo_rl import trace_crossings

        core = torch.nn.LSTM(4, 8)
        with trace_crossings():
            with torch.inference_mode():
                state = torch.zeros(1, 3, 8)
            try:
                core(torch.zeros(5, 3, 4), (state[:, :3], state.detach()))
            except RuntimeError as error:
                print(error.__notes__[0])
        ```

        ```text
        torch.lstm() was given inference tensors at contract/trace.py:89 in <module>
                core(torch.zeros(5, 3, 4), (state[:, :3], state.detach()))
          argument [1][0] [1, 3, 8]
            made by torch.zeros() at contract/trace.py:87 in <module>
                state = torch.zeros(1, 3, 8)
            then by torch.Tensor.__getitem__() at contract/trace.py:89 in <module>
                core(torch.zeros(5, 3, 4), (state[:, :3], state.detach()))
          argument [1][1] [1, 3, 8]
            made by torch.zeros() at contract/trace.py:87 in <module>
                state = torch.zeros(1, 3, 8)
            then by torch.Tensor.detach() at contract/trace.py:89 in <module>
                core(torch.zeros(5, 3, 4), (state[:, :3], state.detach()))
        ```
    """
    with _Tracer():
        yield


def travel_of(tensor: torch.Tensor) -> str | None:
    """Return where `tensor` was made and how it got here; None if no tracer saw it."""
    for mode in torch.overrides._get_current_function_mode_stack():
        if isinstance(mode, _Tracer) and (travel := mode.travel_of(tensor)) is not _UNSEEN:
            return str(travel)
    return None


class _Tracer(TorchFunctionMode):
    """Sees every operation of PyTorch, and follows the inference tensors through them."""

    def __init__(self) -> None:
        super().__init__()
        self._travels = WeakTensorKeyDictionary()
        self._births = WeakIdKeyDictionary()  # by storage: a parameter takes over that of a clone

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if torch.compiler.is_compiling():  # the compiler traces this method too
            return func(*args, **(kwargs or {}))
        arguments = {f"[{i}]": value for i, value in enumerate(args)} | dict(kwargs or {})
        try:
            result = func(*args, **(kwargs or {}))
        except RuntimeError as error:
            if str(error).startswith(_MESSAGES):
                error.add_note(self._note(func, arguments))
            raise
        with torch._C.DisableTorchFunctionSubclass():
            self._follow(func, arguments, result)
        return result

    def travel_of(self, tensor: torch.Tensor) -> _Travel:
        """Return the travel of a tensor, as far as it was seen."""
        travel = self._travels.get(tensor)
        return travel or self._births.get(storage_of(tensor), _UNSEEN)  # type: ignore[no-any-return]  # the dictionary is untyped

    def _note(self, func: Callable[..., Any], arguments: Mapping[str, object]) -> str:
        """Name the operation, where it was called, and each inference tensor it was given."""
        lines = [f"{_name(func)}() was given inference tensors at {_caller()}"]
        inference_tensors = list(_inference_tensors(arguments))
        for path, tensor in inference_tensors[:_MOST_ARGUMENTS]:
            travel = self.travel_of(tensor)
            lines.append(f"  argument {shortened(path)} {list(tensor.shape)}\n    {travel}")
        others = and_more(len(inference_tensors) - _MOST_ARGUMENTS)
        return "\n".join([*lines, *([f" {others}"] if others else [])])

    def _follow(
        self, func: Callable[..., Any], arguments: Mapping[str, object], result: object
    ) -> None:
        """Remember each inference tensor among the results: as made here, or as a view."""
        for _, tensor in _inference_tensors({"": result}):
            if tensor not in self._travels:
                self._travels[tensor] = self._travel(func, arguments, tensor)

    def _travel(
        self, func: Callable[..., Any], arguments: Mapping[str, object], tensor: torch.Tensor
    ) -> _Travel:
        step = f"by {_name(func)}() at {_caller()}"
        if func is torch.Tensor.__deepcopy__:
            # The other argument is a memo, which holds the copy now.
            arguments = {"[0]": arguments["[0]"]}
        for _, source in _inference_tensors(arguments):
            if source is tensor:
                return self.travel_of(source)
            if shares_storage(source, tensor):
                return self.travel_of(source).then(step)
        return self._births.setdefault(storage_of(tensor), _Travel(f"made {step}"))  # type: ignore[no-any-return]  # the dictionary is untyped


def _inference_tensors(values: Mapping[str, object]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in values.items():
        for path, tensor in walk_tensors(value, name):
            if tensor.is_inference():
                yield path, tensor


def _name(func: Callable[..., Any]) -> str:
    return str(resolve_name(func) or getattr(func, "__name__", func))


def _caller() -> str:
    """Name the user's innermost line, and quote it."""
    frame = _users_frame()
    path = Path(frame.f_code.co_filename)
    line = frame.f_lineno
    code = linecache.getline(str(path), line, frame.f_globals).strip()
    place = f"{'/'.join(path.parts[-2:])}:{line} in {frame.f_code.co_qualname}"
    return f"{place}\n        {code}" if code else place


def _users_frame() -> FrameType:
    """Return the innermost frame outside every library, or else the innermost outside PyTorch."""
    frames = [f for f in _stack() if _package(f) not in _PACKAGES] or list(_stack())
    return next((f for f in frames if not _is_of_library(f)), frames[0])


def _stack() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_of_library(frame: FrameType) -> bool:
    path = frame.f_code.co_filename
    return path.startswith(_STANDARD) or not _INSTALLED.isdisjoint(Path(path).parts)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]
