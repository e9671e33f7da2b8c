"""Starts `tamiyo-rl` in real processes without the seconds that its imports take.

`python -m tests.cli.fork_server` reads a line for each process it shall start (its arguments and
the file for its output, as JSON), and prints the process's id, and later its exit status.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

REPOSITORY = Path(__file__).parents[2]


class ForkServer:
    """Starts one process after the other."""

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.cli.fork_server"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.kill()
        self._server.communicate()

    def start(self, *arguments: str, output: Path) -> int:
        """Start `tamiyo-rl` and return the process's id."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps([arguments, str(output)]) + "\n")
        return self._read()

    def wait(self) -> int:
        """Return the exit status of the process: negative for a signal, as `subprocess` does."""
        return self._read()

    def _read(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


def _run(arguments: list[str], output: str) -> None:
    from tamiyo_rl.cli import main  # noqa: PLC0415 - the server has imported it

    with Path(output).open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    main(arguments)


def _serve() -> None:
    import torch._dynamo  # noqa: F401, PLC0415 - the optimizer imports it, which takes a second

    from tamiyo_rl import cli  # noqa: F401, PLC0415 - so that the forked processes have it

    for line in sys.stdin:
        arguments, output = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(arguments, output)
            return
        print(child, flush=True)  # noqa: T201 - the answer
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201 - too


if __name__ == "__main__":
    _serve()
