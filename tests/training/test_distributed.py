"""Two real processes train as one process does with the whole batch."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.torchrun import start_group, start_nodes
from tests.training import distributed_worker

WORKER = "tests.training.distributed_worker"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the processes once, for all tests."""
    path = tmp_path_factory.mktemp("group")
    group = start_group(WORKER, str(path), "update", "no_start", "train", "let_go")
    output, _ = group.communicate(timeout=120)
    assert group.returncode == 0, output
    return path


def load(folder: Path, name: str) -> Any:
    return torch.load(folder / f"{name}.pt", weights_only=True)


def test_two_processes_update_as_one_does_with_the_whole_batch(folder: Path) -> None:
    require_the_update_of_one_process(folder)


def test_two_nodes_update_as_one_process_does_with_the_whole_batch(tmp_path: Path) -> None:
    nodes = start_nodes(WORKER, str(tmp_path), "update")
    for node in nodes:
        output, _ = node.communicate(timeout=120)
        assert node.returncode == 0, output
    require_the_update_of_one_process(tmp_path)


def require_the_update_of_one_process(folder: Path) -> None:
    threads = torch.get_num_threads()
    distributed_worker.update(folder)
    torch.set_num_threads(threads)
    single, first, second = (load(folder, f"update-{n}") for n in ("0-of-1", "0-of-2", "1-of-2"))
    for name, parameter in single["parameters"].items():
        torch.testing.assert_close(first["parameters"][name], parameter, atol=1e-6, rtol=0)
        assert first["parameters"][name].equal(second["parameters"][name])
    *terms, _ = zip(single["loss"], first["loss"], strict=True)  # the last is a maximum
    for expected, got in terms:
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-5)


def test_a_learned_initial_state_that_no_row_uses_does_not_stop_the_next_update(
    folder: Path,
) -> None:
    assert (folder / "done-0").exists()
    assert (folder / "done-1").exists()


def test_every_process_has_the_same_policy_and_statistics_and_its_own_experience(
    folder: Path,
) -> None:
    first = load(folder, "train-0")
    second = load(folder, "train-1")
    torch.testing.assert_close(first["same"], second["same"], atol=0, rtol=0, equal_nan=True)
    for own, other in zip(first["own"], second["own"], strict=True):
        assert not own.equal(other)


def test_no_thread_holds_a_tensor_after_a_call(folder: Path) -> None:
    assert (folder / "let-go-0").exists()
    assert (folder / "let-go-1").exists()


def test_a_plain_network_in_a_group_is_named(tmp_path: Path) -> None:
    group = start_group(WORKER, str(tmp_path), "unwrapped")
    output, _ = group.communicate(timeout=120)
    assert group.returncode == 1
    assert "bundle: expected a wrapped network in a group of 2 processes" in output
