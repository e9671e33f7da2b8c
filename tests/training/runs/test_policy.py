"""Saved policies are loaded whole or not at all, and nothing in them is executed."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from tamiyo_rl import Gaussian, LSTMPolicyBundle
from tamiyo_rl.training import FeatureNormalizer, SavedPolicy, load_policy, save_policy


def make_policy() -> SavedPolicy:
    normalizer = FeatureNormalizer(3)
    normalizer.update(torch.randn(10, 3))
    encoder = torch.nn.Linear(3, 5)
    bundle = LSTMPolicyBundle(
        3,
        {"a": 2, "push": Gaussian(2), "b": 4},
        hidden_dim=8,
        num_lstm_layers=2,
        learn_initial_hidden=True,
        encoder=encoder,
    )
    return SavedPolicy(bundle, normalizer)


@pytest.mark.clause("C11")
def test_a_saved_policy_is_loaded_as_it_was(tmp_path: Path) -> None:
    policy = make_policy()
    save_policy(tmp_path / "new" / "policy.pt", *policy)
    loaded = load_policy(tmp_path / "new" / "policy.pt", encoder=torch.nn.Linear(3, 5))
    features = torch.randn(4, 3)
    assert loaded.normalizer(features).equal(policy.normalizer(features))
    assert loaded.bundle.get_value(features).equal(policy.bundle.get_value(features))
    assert loaded.bundle.settings() == policy.bundle.settings()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["policy.pt"]


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy.pt"
    save_policy(path, *make_policy())
    before = path.read_bytes()

    def fail(content: Any, file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space"):
        save_policy(path, *make_policy())
    assert path.read_bytes() == before


class Dangerous:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize(
    "kind", ["empty", "text", "truncated", "pickle", "foreign", "newer", "hollow"]
)
def test_other_files_are_refused_and_execute_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "policy.pt"
    save_policy(path, *make_policy())
    content = {
        "empty": b"",
        "text": b"not a policy",
        "truncated": path.read_bytes()[:-200],
        "pickle": pickle.dumps(Dangerous()),
    }
    if kind in content:
        path.write_bytes(content[kind])
    else:
        torch.save({"newer": {"format": 2}, "hollow": {"format": 1}}.get(kind, [1, 2]), path)
    with pytest.raises(ValueError, match=r"policy\.pt: expected"):
        load_policy(path)
    assert not (tmp_path / "executed").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        load_policy(tmp_path / "absent.pt")


def test_the_dtype_is_kept(tmp_path: Path) -> None:
    bundle = LSTMPolicyBundle(3, 2).to(torch.float64)
    save_policy(tmp_path / "policy.pt", bundle, FeatureNormalizer(3))
    loaded = load_policy(tmp_path / "policy.pt").bundle
    assert loaded.dtype == torch.float64
    assert not loaded.training
    assert all(a.equal(b) for a, b in zip(bundle.parameters(), loaded.parameters(), strict=True))


def test_a_missing_encoder_is_named(tmp_path: Path) -> None:
    save_policy(tmp_path / "policy.pt", *make_policy())
    with pytest.raises(ValueError, match=r"(?s)policy\.pt: expected a whole.*encoder="):
        load_policy(tmp_path / "policy.pt")


def test_a_str_is_a_path(tmp_path: Path) -> None:
    policy = make_policy()
    save_policy(str(tmp_path / "policy.pt"), *policy)
    loaded = load_policy(str(tmp_path / "policy.pt"), encoder=torch.nn.Linear(3, 5))
    assert loaded.bundle.feature_dim == 3


@pytest.mark.parametrize(("name", "value"), [("bundle", None), ("normalizer", "mean")])
def test_a_part_of_another_kind_is_named(name: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=f"{name}: expected .*, got {type(value).__name__}"):
        save_policy(tmp_path / "policy.pt", **make_policy()._asdict() | {name: value})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"path": None}, TypeError, "path: expected a path, got None"),
        ({"device": "tpu"}, ValueError, "device: expected one that this machine has, got 'tpu'"),
        ({"device": None.__class__}, ValueError, "device: expected one that this machine has"),
        ({"encoder": "linear"}, TypeError, "encoder: expected a torch.nn.Module, got str"),
    ],
)
def test_a_wrong_argument_is_named_before_the_file_is_read(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_policy(**({"path": "absent.pt"} | settings))
