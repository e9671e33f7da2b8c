"""Groups of real processes, as `torchrun` starts them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def start_group(*arguments: str) -> subprocess.Popen[str]:
    """Start `torchrun -m ...` with two processes on this machine."""
    return _torchrun("--standalone", "--nproc-per-node", "2", "-m", *arguments)


def start_nodes(*arguments: str) -> list[subprocess.Popen[str]]:
    """Start two `torchrun` with a process each, which meet on a port as two machines do."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    meeting = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}")
    node = ("--nnodes", "2", "--nproc-per-node", "1", *meeting, "-m", *arguments)
    return [_torchrun(*node) for _ in range(2)]


def _torchrun(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "torch.distributed.run", *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def children(parent: int) -> dict[int, int]:
    """Return the processes that a `torchrun` started, by rank."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (folder / "task").is_dir():
            status = (folder / "status").read_text()
            if f"\nPPid:\t{parent}\n" in status:
                variables = (folder / "environ").read_bytes().split(b"\0")
                rank = next((v for v in variables if v.startswith(b"RANK=")), None)
                if rank:
                    found[int(rank[5:])] = int(folder.name)
    return found
