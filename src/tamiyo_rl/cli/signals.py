"""Notes of the signals that ask a command to end, which it obeys after the current update."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Yield a list, which gets the number of the first SIGINT, SIGTERM or SIGHUP.

    A second signal acts as it would without this. SIGHUP says that the terminal was closed; under
    `nohup` it stays ignored. Only the main thread is told of signals.
    """
    received: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def give_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        give_back()

    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if not _ignored_by_nohup(number):
                before[number] = signal.getsignal(number)
                signal.signal(number, note)
    try:
        yield received
    finally:
        give_back()


def _ignored_by_nohup(number: signal.Signals) -> bool:
    return number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN
