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
from traceback import walk_tb
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils.weak import WeakIdKeyDictionary, WeakTensorKeyDictionary

from tamiyo_rl.contract.graph import shares_storage, storage_of
from tamiyo_rl.contract.nesting import walk_tensors
from tamiyo_rl.contract.search import find_inference_tensors
from tamiyo_rl.contract.threads import ThreadFollower
from tamiyo_rl.contract.wording import and_more, shortened

_MESSAGES = (
    "Inference tensors cannot be saved for backward",
    "Inplace update to inference tensor outside InferenceMode",
    "Setting requires_grad=True on inference tensor",
    "Inference tensors do not track version counter",
    "Cannot set version_counter for inference tensor",
    "A view was created in inference mode",
    "element 0 of tensors does not require grad",
)
_PACKAGES = (torch.__name__, __name__.partition(".")[0])
_STANDARD = (sysconfig.get_path("stdlib"), "<frozen ")
_INSTALLED = {"site-packages", "dist-packages"}
_VIEWS_AT_EACH_END = 3  # that a note tells
_MOST_ARGUMENTS = 8  # that a note tells
_MOST_CALLERS = 2  # that a line tells
_NOTED = "__traced__"


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

    Within the context, PyTorch's "Inference tensors cannot be saved for backward", "Inplace update
    to inference tensor outside InferenceMode" and the other texts of this fault gain a note
    (PEP 678), and `InferenceTensorWarning` a line: the operation, its argument, the line that made
    the tensor, and the views since. An error that leaves a custom `torch.autograd.Function`,
    compiled code or `load_state_dict` names no argument, so its note tells the inference tensors in
    the scope of the user's line. It is for debugging: each operation of PyTorch in the context
    costs a Python call. It keeps no tensor alive, and costs nothing outside.

    A line is the user's own, with up to two of its callers: the innermost that is not in the
    standard library or an installed package. Threads that are started in the context are traced
    too, those of an executor as well, until it is left. For a tensor that was made unseen, no line
    is given: it was made before the context was entered, in a thread that was started elsewhere, or
    in a function that `torch.compile` compiled. Compiled functions run as they do outside.

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
        torch.lstm() was given inference tensors at contract/trace.py:102 in <module>
                core(torch.zeros(5, 3, 4), (state[:, :3], state.detach()))
          argument [1][0] [1, 3, 8]
            made by torch.zeros() at contract/trace.py:100 in <module>
                state = torch.zeros(1, 3, 8)
            then by torch.Tensor.__getitem__() at contract/trace.py:102 in <module>
                core(torch.zeros(5, 3, 4), (state[:, :3], state.detach()))
          argument [1][1] [1, 3, 8]
            made by torch.zeros() at contract/trace.py:100 in <module>
                state = torch.zeros(1, 3, 8)
            then by torch.Tensor.detach() at contract/trace.py:102 in <module>
                core(torch.zeros(5, 3, 4), (state[:, :3], state.detach()))
        ```
    """
    tracer = _Tracer()
    try:
        with _THREADS, tracer.tracing():
            yield
    finally:
        tracer.is_over = True


def travel_of(tensor: torch.Tensor) -> str | None:
    """Return where `tensor` was made and how it got here; None if no tracer saw it."""
    for tracer in _tracers():
        if (travel := tracer.travel_of(tensor)) is not _UNSEEN:
            return str(travel)
    return None


def _tracers() -> list[_Tracer]:
    """Return the tracers of this thread, the outermost first."""
    modes = torch.overrides._get_current_function_mode_stack()
    return [mode for mode in modes if isinstance(mode, _Tracer) and not mode.is_over]


class _Tracer(TorchFunctionMode):
    """Sees every operation of PyTorch, and follows the inference tensors through them.

    Attributes:
        is_over: Whether the context was left; a thread may outlive it and keep the mode.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_over = False
        self._travels = WeakTensorKeyDictionary()
        self._births = WeakIdKeyDictionary()  # by storage: a parameter takes over that of a clone

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if torch.compiler.is_compiling() or self.is_over:  # the compiler traces this method too
            return func(*args, **(kwargs or {}))
        arguments = {f"[{i}]": value for i, value in enumerate(args)} | dict(kwargs or {})
        try:
            result = func(*args, **(kwargs or {}))
        except RuntimeError as error:
            if is_of_a_crossing(error) and (note := self._note(func, arguments)):
                error.add_note(note)
                setattr(error, _NOTED, True)
            raise
        with torch._C.DisableTorchFunctionSubclass():
            self._follow(func, arguments, result)
        return result

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Trace this thread; an error that no operation has noted is noted as it leaves."""
        try:
            with self:
                yield
        except Exception as error:
            if is_of_a_crossing(error) and not hasattr(error, _NOTED) and not self.is_over:
                error.add_note(self._note_of_scope(error))
                setattr(error, _NOTED, True)
            raise

    def travel_of(self, tensor: torch.Tensor) -> _Travel:
        """Return the travel of a tensor, as far as it was seen."""
        travel = self._travels.get(tensor)
        return travel or self._births.get(storage_of(tensor), _UNSEEN)  # type: ignore[no-any-return]  # the dictionary is untyped

    def _note(self, func: Callable[..., Any], arguments: Mapping[str, object]) -> str | None:
        """Name the operation, where it was called, and each inference tensor it was given."""
        told = self._told("argument", _inference_tensors(arguments))
        if not told:
            return None
        return "\n".join([f"{_name(func)}() was given inference tensors at {_caller()}", *told])

    def _note_of_scope(self, error: BaseException) -> str:
        """Name the user's line that an error left, and the inference tensors in its scope."""
        traceback = error.__traceback__
        frames = [frame for frame, _ in walk_tb(traceback)]
        users = [f for f in frames if _package(f) not in _PACKAGES and not _is_of_library(f)]
        frame = users[-1] if users else frames[-1]
        lines = {id(f): line for f, line in walk_tb(traceback)}
        told = self._told("in its scope:", iter(find_inference_tensors(**frame.f_locals).items()))
        where = f"raised at {_place(frame, lines[id(frame)])}"
        return "\n".join([where, *(told or ["  no inference tensor is in its scope"])])

    def _told(self, what: str, found: Iterator[tuple[str, torch.Tensor]]) -> list[str]:
        """Write where each inference tensor was made."""
        every = list(found)
        lines = [
            f"  {what} {shortened(path)} {list(tensor.shape)}\n    {self.travel_of(tensor)}"
            for path, tensor in every[:_MOST_ARGUMENTS]
        ]
        others = and_more(len(every) - _MOST_ARGUMENTS)
        return [*lines, *([f" {others}"] if others else [])]

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


_THREADS = ThreadFollower(lambda: [tracer.tracing for tracer in _tracers()])


def _inference_tensors(values: Mapping[str, object]) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in values.items():
        for path, tensor in walk_tensors(value, name):
            if tensor.is_inference():
                yield path, tensor


def _name(func: Callable[..., Any]) -> str:
    return str(resolve_name(func) or getattr(func, "__name__", func))


def is_of_a_crossing(error: BaseException) -> bool:
    """Tell whether PyTorch raised it because of an inference tensor, or because of no graph."""
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _MESSAGES)


def _caller() -> str:
    """Name the user's innermost line with its callers, and quote it."""
    frame = _users_frame()
    return _place(frame, frame.f_lineno)


def _place(frame: FrameType, line: int) -> str:
    path = Path(frame.f_code.co_filename)
    code = linecache.getline(str(path), line, frame.f_globals).strip()
    callers = "".join(f", called at {_line(caller)}" for caller in _callers(frame))
    place = f"{_line(frame, line)} in {frame.f_code.co_qualname}{callers}"
    return f"{place}\n        {code}" if code else place


def _line(frame: FrameType, line: int | None = None) -> str:
    path = Path(frame.f_code.co_filename)
    return f"{'/'.join(path.parts[-2:])}:{line or frame.f_lineno}"


def _callers(frame: FrameType) -> list[FrameType]:
    """Return the user's lines that led to a frame, up to the one that stands in no function."""
    callers: list[FrameType] = []
    while frame.f_code.co_name != "<module>" and frame.f_back and len(callers) < _MOST_CALLERS:
        frame = frame.f_back
        if not _is_of_library(frame) and _package(frame) not in _PACKAGES:
            callers.append(frame)
    return callers


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
