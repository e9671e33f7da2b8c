"""The tracer: where an inference tensor was made, and by which views it came here.

PyTorch's errors about inference tensors name no argument and no line. While `trace_crossings()`
is on, each of them gains a note that does.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils.weak import WeakTensorKeyDictionary

from tamiyo_rl.contract.nesting import walk_tensors

_MESSAGES = (
    "Inference tensors cannot be saved for backward",
    "Inplace update to inference tensor outside InferenceMode",
)
_LIBRARIES = (torch.__name__, __name__.partition(".")[0])


@dataclass(frozen=True)
class _Travel:
    """Where a tensor was made, and the views since; text only, so it keeps nothing alive."""

    made: str
    views: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join([f"made {self.made}", *(f"then {view}" for view in self.views)])


@contextmanager
def trace_crossings() -> Iterator[None]:
    """Make errors and warnings about inference tensors say where the tensor was made.

    Within the context, PyTorch's "Inference tensors cannot be saved for backward" and "Inplace
    update to inference tensor outside InferenceMode" gain a note (PEP 678), and
    `InferenceTensorWarning` a line: the operation, its argument, the line that made the tensor,
    and the views since. It is for debugging: each operation of PyTorch in the context costs a
    Python call. It keeps no tensor alive, and costs nothing outside.

    A tensor made before the context was entered is named, but not its line.

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
        torch.lstm() was given inference tensors at contract/trace.py:64 in <module>
                core(torch.zeros(5, 3, 4), (state[:, :3], state.detach()))
          argument [1][0] [1, 3, 8]
            made by torch.zeros() at contract/trace.py:62 in <module>
                state = torch.zeros(1, 3, 8)
            then by torch.Tensor.__getitem__() at contract/trace.py:64 in <module>
                core(torch.zeros(5, 3, 4), (state[:, :3], state.detach()))
          argument [1][1] [1, 3, 8]
            made by torch.zeros() at contract/trace.py:62 in <module>
                state = torch.zeros(1, 3, 8)
            then by torch.Tensor.detach() at contract/trace.py:64 in <module>
                core(torch.zeros(5, 3, 4), (state[:, :3], state.detach()))
        ```
    """
    with _Tracer():
        yield


def travel_of(tensor: torch.Tensor) -> str | None:
    """Return where `tensor` was made and how it came here; None where no tracer saw it."""
    for mode in torch.overrides._get_current_function_mode_stack():  # noqa: SLF001 - no public name
        if isinstance(mode, _Tracer) and tensor in mode.travels:
            return str(mode.travels[tensor])
    return None


class _Tracer(TorchFunctionMode):
    """Sees every operation of PyTorch, and follows the inference tensors through them."""

    def __init__(self) -> None:
        super().__init__()
        self.travels = WeakTensorKeyDictionary()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operation returns
        arguments = {f"[{i}]": value for i, value in enumerate(args)} | dict(kwargs or {})
        try:
            result = func(*args, **(kwargs or {}))
        except RuntimeError as error:
            if str(error).startswith(_MESSAGES):
                error.add_note(self._note(func, arguments))
            raise
        self._follow(func, arguments, result)
        return result

    def _note(self, func: Callable[..., Any], arguments: Mapping[str, object]) -> str:
        """Name the operation, where it was called, and each inference tensor it was given."""
        lines = [f"{_name(func)}() was given inference tensors at {_caller()}"]
        for path, tensor in _inference_tensors(arguments):
            travel = self.travels.get(tensor, "made before trace_crossings() began")
            lines.append(f"  argument {path} {list(tensor.shape)}\n    {travel}")
        return "\n".join(lines)

    def _follow(
        self, func: Callable[..., Any], arguments: Mapping[str, object], result: object
    ) -> None:
        """Remember each inference tensor among the results: as made here, or as a view."""
        for _, tensor in _inference_tensors({"": result}):
            if tensor not in self.travels:
                self.travels[tensor] = self._travel(func, arguments, tensor)

    def _travel(
        self, func: Callable[..., Any], arguments: Mapping[str, object], tensor: torch.Tensor
    ) -> _Travel:
        step = f"by {_name(func)}() at {_caller()}"
        for _, source in _inference_tensors(arguments):
            if source in self.travels and _shares_storage(source, tensor):
                travel: _Travel = self.travels[source]
                return replace(travel, views=(*travel.views, step))
        return _Travel(step)


def _inference_tensors(values: Mapping[str, object]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in values.items():
        for path, tensor in walk_tensors(value, name):
            if tensor.is_inference():
                yield path, tensor


def _shares_storage(source: torch.Tensor, tensor: torch.Tensor) -> bool:
    """Tell whether one is a view of the other, or both of a third.

    Examples:
        ```python
        import torch
        from tamiyo_rl.contract.trace import _shares_storage

        one = torch.eye(2)
        print(_shares_storage(one, one[0]), _shares_storage(one, one.clone()))
        print(_shares_storage(one, one.to_sparse()))
        ```

        ```text
        True False
        False
        ```
    """
    try:
        return source.untyped_storage() is tensor.untyped_storage()
    except NotImplementedError:  # sparse, opaque and vmapped tensors have none
        return False


def _name(func: Callable[..., Any]) -> str:
    return str(resolve_name(func) or getattr(func, "__name__", func))


def _caller() -> str:
    """Name the innermost line that is neither PyTorch's nor ours, and quote it."""
    frame: FrameType = sys._getframe(1)  # noqa: SLF001 - the documented way to walk a stack
    while _package(frame) in _LIBRARIES and frame.f_back is not None:
        frame = frame.f_back
    path, line = Path(frame.f_code.co_filename), frame.f_lineno
    code = linecache.getline(str(path), line, frame.f_globals).strip()
    place = f"{'/'.join(path.parts[-2:])}:{line} in {frame.f_code.co_qualname}"
    return f"{place}\n        {code}" if code else place


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]
