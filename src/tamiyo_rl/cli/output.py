"""Standard output, without which a training goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class Output:
    """A stream that may be closed (`| head`) or full (`> /dev/full`) while a command runs.

    Args:
        stream: Standard output.
        needed: Whether the command is of no use without it. A training is: it leaves files.
    """

    def __init__(self, stream: TextIO, *, needed: bool) -> None:
        self._stream = stream
        self._needed = needed

    def write(self, text: str) -> int:
        """Write a text, or lose it."""
        with self._may_fail():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written, or lose it."""
        with self._may_fail():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Return what else the stream has."""
        return getattr(self._stream, name)

    @contextmanager
    def _may_fail(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _discard(self._stream)
            if self._needed:
                raise OSError(error.errno, error.strerror, "standard output") from error
            with suppress(OSError):
                sys.stderr.write(
                    f"tamiyo-rl: standard output: {error.strerror}; the training goes on\n"
                )


def _discard(stream: TextIO) -> None:
    """Let all that is still to be written, and what is buffered, go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
