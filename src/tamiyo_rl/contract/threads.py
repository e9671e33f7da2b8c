"""Threads that are started under a context, and then run under it too.

PyTorch's modes belong to a thread and are not inherited. Python has no hook for the start of a
thread, so `threading.Thread.start`, which executors call too, is wrapped while somebody follows.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack

_Context = Callable[[], AbstractContextManager[None]]


class ThreadFollower:
    """A context under which each thread runs as the thread that starts it.

    Args:
        contexts: Returns what the calling thread runs under: what makes each context anew.
    """

    def __init__(self, contexts: Callable[[], Sequence[_Context]]) -> None:
        self._contexts = contexts
        self._lock = threading.Lock()
        self._users = 0
        self._start = threading.Thread.start
        self._wrapper = self._start

    def __enter__(self) -> None:
        """Begin to follow."""
        with self._lock:
            if not self._users:
                self._start = threading.Thread.start
                self._wrapper = self._following(self._start)
                threading.Thread.start = self._wrapper  # type: ignore[method-assign]  # put back on exit
            self._users += 1

    def __exit__(self, *_: object) -> None:
        """Follow no more; after the last one, `Thread` is as it was."""
        with self._lock:
            self._users -= 1
            # If somebody has wrapped it since, the wrapper stays below theirs and does nothing.
            if not self._users and threading.Thread.start is self._wrapper:
                threading.Thread.start = self._start  # type: ignore[method-assign]  # put back on exit

    def _following(self, start: Callable[[threading.Thread], None]) -> Callable[..., None]:
        @functools.wraps(start)
        def following(thread: threading.Thread) -> None:
            contexts = self._contexts()
            if not contexts:
                start(thread)
                return
            put_back = _replace_run(thread, contexts)
            try:
                start(thread)
            except BaseException:
                put_back()
                raise

        return following


def _replace_run(thread: threading.Thread, contexts: Sequence[_Context]) -> Callable[[], None]:
    """Let a thread run under contexts, once; return what puts its own `run` back."""
    run, of_instance = thread.run, vars(thread).get("run")

    def put_back() -> None:
        del vars(thread)["run"]
        if of_instance is not None:
            vars(thread)["run"] = of_instance

    def run_under() -> None:
        put_back()
        with ExitStack() as stack:
            for context in contexts:
                stack.enter_context(context())
            run()

    vars(thread)["run"] = run_under  # subclasses override the method of the class
    return put_back
