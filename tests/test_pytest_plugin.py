"""The pytest plugin, in a run of its own, as a user has it once the package is installed."""

import subprocess
import sys
from pathlib import Path

TESTS = """
import torch

def train(loss, watch_loop):
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch_loop(model)
    for _ in range(3):
        optimizer.zero_grad()
        loss(model(torch.randn(8, 3))).backward()
        optimizer.step()

def test_right(watch_loop):
    train(lambda outputs: outputs.square().mean(), watch_loop)

def test_broken(watch_loop):
    train(lambda outputs: 0 * outputs.mean(), watch_loop)

def test_crossing():
    with torch.inference_mode():
        table = torch.ones(1)
    torch.ones(1, requires_grad=True) * table
"""


def run_pytest(folder: Path, *arguments: str) -> str:
    (folder / "test_training.py").write_text(TESTS, "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(  # noqa: S603 - it runs what stands above
        command, cwd=folder, capture_output=True, text=True, check=False
    ).stdout


def test_a_broken_training_fails_its_test(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, "-k", "right or broken")
    assert (
        "1 passed, 1 deselected, 1 error" in output or "2 passed, 1 deselected, 1 error" in output
    )
    assert "broken, zero-gradient" in output


def test_an_error_says_where_the_tensor_was_made(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, "-k", "crossing", "--trace-crossings")
    assert "made by torch.ones() at" in output
    assert "made by" not in run_pytest(tmp_path, "-k", "crossing")
