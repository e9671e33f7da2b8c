"""Groups of real processes, as `torchrun` starts them."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def start_group(*arguments: str, processes: int = 2) -> subprocess.Popen[str]:
    """Start `torchrun -m ...`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(  # noqa: S603 - our own command
        [*command, "--nproc-per-node", str(processes), "-m", *arguments],
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
