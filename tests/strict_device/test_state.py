"""Files, random numbers and the build of the device."""

import copy
import io
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.strict_device import building


def test_saved_tensors_come_back_on_the_device(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    state = nn.Linear(3, 2, device="strict").state_dict()
    torch.save(state, path)
    for place, expected in ((None, "strict"), ("cpu", "cpu"), ("strict", "strict")):
        loaded = torch.load(path, weights_only=True, map_location=place)
        assert {tensor.device.type for tensor in loaded.values()} == {expected}
        for name, tensor in loaded.items():
            assert torch.equal(tensor.cpu(), state[name].cpu())


def test_tensors_saved_on_the_cpu_are_mapped_to_the_device() -> None:
    file = io.BytesIO()
    torch.save(torch.arange(3), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True, map_location="strict")
    assert (loaded.device.type, loaded.tolist()) == ("strict", [0, 1, 2])


def test_copies_share_no_memory() -> None:
    tensor = torch.zeros(2, device="strict")
    for copied in (copy.deepcopy(tensor), pickle.loads(pickle.dumps(tensor))):  # noqa: S301  ours
        copied.add_(1)
        assert copied.device == tensor.device
    assert tensor.tolist() == [0.0, 0.0]


def test_a_seed_makes_random_numbers_again() -> None:
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        dropped = nn.functional.dropout(torch.ones(8, device="strict"))
        drawn.append([torch.randn(4, device="strict"), torch.randperm(8, device="strict"), dropped])
    for first, second in zip(*drawn, strict=True):
        assert torch.equal(first, second)


def test_the_device_has_random_numbers_of_its_own() -> None:
    torch.manual_seed(3)
    near = torch.get_rng_state()
    torch.randn(4, device="strict")
    nn.functional.dropout(torch.ones(8, device="strict"))
    assert torch.equal(torch.get_rng_state(), near)


def test_random_state_is_put_back() -> None:
    module = torch.get_device_module("strict")
    state = module.get_rng_state()
    first = torch.randn(3, device="strict")
    module.set_rng_state(state)
    assert torch.equal(torch.randn(3, device="strict"), first)
    with torch.random.fork_rng(device_type="strict"):
        torch.manual_seed(0)
    module.set_rng_state(state)
    assert torch.equal(torch.randn(3, device="strict"), first)


def test_generators_draw_for_themselves() -> None:
    generator = torch.Generator("strict").manual_seed(5)
    before = torch.get_device_module("strict").get_rng_state()
    first = torch.randn(3, device="strict", generator=generator)
    assert torch.equal(torch.get_device_module("strict").get_rng_state(), before)
    other = torch.Generator("strict")
    other.set_state(torch.Generator("strict").manual_seed(5).get_state())
    assert torch.equal(torch.randn(3, device="strict", generator=other), first)


def test_the_device_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    library = building.build()
    monkeypatch.setattr(building, "_compile", pytest.fail)
    assert building.build() == library


def test_another_source_is_built_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library = building.build()
    changed = tmp_path / "strict.cpp"
    changed.write_text(f"{building.SOURCE.read_text('utf-8')}\n", "utf-8")
    built: list[Path] = []
    monkeypatch.setattr(building, "SOURCE", changed)
    monkeypatch.setattr(building, "_compile", built.append)
    rebuilt = building.build()
    assert built == [rebuilt]
    assert rebuilt != library
