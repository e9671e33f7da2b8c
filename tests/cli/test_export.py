"""`tamiyo-rl export`: of a run or of a file."""

import pytest

from tamiyo_rl.training.runs.folder import RunFolder
from tests.cli.fork_server import ForkServer


@pytest.mark.parametrize("given", ["a", "a/policy.pt"])
def test_a_run_or_its_policy_is_written(given: str, server: ForkServer, run: RunFolder) -> None:
    finished = server.run("export", given, folder=run.path.parent)
    assert finished.status == 0, finished.output
    assert finished.output == "wrote a/policy.onnx\n"
    assert (run.path / "policy.onnx").stat().st_size > 1_000


def test_the_file_is_named_by_its_option(server: ForkServer, run: RunFolder) -> None:
    finished = server.run("export", "a", "--to", "b/there.pt2", folder=run.path.parent)
    assert finished.output == "wrote b/there.pt2\n"
    refused = server.run("export", "a", "--to", "there.pt", folder=run.path.parent)
    assert refused.status == 2
    assert "--to: expected a file that ends in .onnx or .pt2" in refused.output
