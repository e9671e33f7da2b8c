"""Starts `tamiyo-rl` in real processes without the seconds that its imports take.

`python -m tests.cli.fork_server` reads a line for each process it shall start (its arguments and
its folder, as JSON), and prints the process's id, and later its exit status.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

REPOSITORY = Path(__file__).parents[2]
OUTPUT = "output.txt"


class Finished(NamedTuple):
    """How a process ended: a negative status is a signal, as `subprocess` has it."""

    status: int
    output: str


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

    def run(self, *arguments: str, folder: Path, file_size: int = -1, stdout: str = "") -> Finished:
        """Run `tamiyo-rl` to its end."""
        self.start(*arguments, folder=folder, file_size=file_size, stdout=stdout)
        return self.wait()

    def start(self, *arguments: str, folder: Path, file_size: int = -1, stdout: str = "") -> int:
        """Start `tamiyo-rl` in a folder, and return the process's id.

        `file_size` is the largest that a file may become, -1 for any. Standard output goes to
        `stdout`; by default it is seen with the errors.
        """
        assert self._server.stdin is not None
        self._output = folder.parent / f"{folder.name}-{OUTPUT}"
        request = [arguments, str(folder), str(self._output), file_size, stdout]
        self._server.stdin.write(json.dumps(request) + "\n")
        return self._read()

    def wait(self) -> Finished:
        """Wait for the end of the process that was started last."""
        return Finished(self._read(), self._output.read_text())

    def _read(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


def _run(arguments: list[str], folder: str, output: str, file_size: int, stdout: str) -> None:
    import resource  # noqa: PLC0415 - POSIX alone has it, as it has fork

    from tamiyo_rl.cli import main  # noqa: PLC0415 - the server has imported it

    with Path(output).open("wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if stdout:
        with Path(stdout).open("wb", buffering=0) as file:
            os.dup2(file.fileno(), 1)
    os.chdir(folder)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
    main(arguments)


def _serve() -> None:
    import torch._dynamo  # noqa: F401, PLC0415 - the optimizer imports it, which takes a second

    from tamiyo_rl import cli  # noqa: F401, PLC0415 - so that the forked processes have it

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run(*json.loads(line))
            return
        print(child, flush=True)  # noqa: T201 - the answer
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201 - too


if __name__ == "__main__":
    _serve()
