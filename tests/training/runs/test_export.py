"""Exported policies choose what the policy chooses, for a thousand steps with resets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types
import pytest
import torch

from tamiyo_rl import Gaussian, LSTMPolicyBundle
from tamiyo_rl.policy.action_dims import categorical
from tamiyo_rl.training import FeatureNormalizer, SavedPolicy, export_policy

FEATURES = 4
ROWS = 5
STEPS = 1_000

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"action_dims": 3},
    "masked": {"action_dims": 3},
    "masked heads": {"action_dims": {"op": 3, "slot": 2}},
    "learned state": {"action_dims": 3, "learn_initial_hidden": True, "num_lstm_layers": 2},
    "separate critic": {"action_dims": 3, "critic": "separate", "head_dims": [8]},
    "gru": {"action_dims": 3, "cell": "gru", "critic": "separate", "learn_initial_hidden": True},
    "continuous": {"action_dims": Gaussian(3)},
    "masked and continuous": {"action_dims": {"op": 3, "torque": Gaussian(2), "slot": 2}},
    "encoder": {"action_dims": 3, "encoder": torch.nn.Sequential(torch.nn.Linear(4, 6))},
}
Step = Callable[..., dict[str, np.ndarray[Any, Any]]]


def make_policy(*, enabled: bool = True, **settings: Any) -> SavedPolicy:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(FEATURES, hidden_dim=16, **settings)
    with torch.no_grad():
        for parameter in bundle.parameters():  # an untrained policy is almost uniform
            parameter.add_(torch.randn_like(parameter).mul_(0.3))
    normalizer = FeatureNormalizer(FEATURES, enabled=enabled)
    normalizer.update(5.0 + 2.0 * torch.randn(50, FEATURES))
    return SavedPolicy(bundle.eval(), normalizer)


def load_onnx(path: Path) -> Step:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    inputs = [given.name for given in session.get_inputs()]
    outputs = [output.name for output in session.get_outputs()]

    def step(**given: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        run = session.run(None, {name: given[name] for name in inputs})
        return dict(zip(outputs, run, strict=True))

    return step


def load_pt2(path: Path) -> Step:
    program = torch.export.load(path).module()

    def step(**given: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        tensors = {name: torch.from_numpy(value) for name, value in given.items()}
        state = tuple(tensors.pop(name) for name in ("h", "c") if name in tensors)
        features, starts = tensors.pop("features"), tensors.pop("episode_starts")
        masks = {name.partition(".")[2] or "action": mask for name, mask in tensors.items()}
        outputs = program(features=features, episode_starts=starts, hidden=state, masks=masks)
        return {name: output.detach().numpy() for name, output in outputs.items()}

    return step


LOADERS = {".onnx": load_onnx, ".pt2": load_pt2}


@pytest.mark.parametrize("ending", LOADERS)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_program_chooses_what_the_policy_chooses(name: str, ending: str, tmp_path: Path) -> None:
    saved = make_policy(**SETTINGS[name])
    path = tmp_path / f"policy{ending}"
    masked = name.startswith("masked")
    export_policy(path, saved, masks=masked)
    require_the_same_steps(saved, LOADERS[ending](path), masked=masked)


def require_the_same_steps(saved: SavedPolicy, step: Step, *, masked: bool) -> None:
    heads = categorical(saved.bundle.action_dims)
    hidden = saved.bundle.initial_hidden(ROWS).clone()
    state = {name: part.numpy() for name, part in zip("hc", hidden.parts, strict=False)}
    for _ in range(STEPS):
        features = 5.0 + 3.0 * torch.randn(ROWS, FEATURES)
        starts = torch.rand(ROWS) < 0.05
        masks = {head: torch.rand(ROWS, actions) < 0.7 for head, actions in heads.items()}
        for head, mask in masks.items():
            mask[:, torch.randint(heads[head], ())] = True
        expected = saved.bundle.get_action(
            saved.normalizer(features),
            masks if masked else None,
            hidden,
            episode_starts=starts,
            deterministic=True,
        )
        named = {named_as("mask", head): mask.numpy() for head, mask in masks.items() if masked}
        outputs = step(features=features.numpy(), episode_starts=starts.numpy(), **state, **named)
        for head, action in expected.action.items():
            off = 0.0 if head in heads else 1e-5
            chosen = outputs[named_as("action", head)]
            np.testing.assert_allclose(chosen, action.numpy(), atol=off, rtol=0)
        for output, tensor in (
            ("log_prob", expected.joint_log_prob),
            ("value", expected.value),
            *zip(("next_h", "next_c"), expected.hidden.parts, strict=False),
        ):
            np.testing.assert_allclose(outputs[output], tensor.numpy(), atol=1e-5, rtol=0)
        hidden = expected.hidden
        state = {name: outputs[f"next_{name}"] for name in state}


def named_as(what: str, head: str) -> str:
    return what if head == "action" else f"{what}.{head}"


@pytest.mark.parametrize("ending", LOADERS)
def test_one_row_and_many_run_in_one_program(ending: str, tmp_path: Path) -> None:
    export_policy(tmp_path / f"policy{ending}", make_policy(action_dims=3, enabled=False))
    step = LOADERS[ending](tmp_path / f"policy{ending}")
    for rows in (1, 2, 300):
        zeros = np.zeros((1, rows, 16), np.float32)
        outputs = step(
            features=np.zeros((rows, FEATURES), np.float32),
            episode_starts=np.ones(rows, bool),
            h=zeros,
            c=zeros,
        )
        assert outputs["action"].shape == (rows,)


class ByValue(torch.nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features if features.sum() > 0 else -features


def test_an_encoder_that_cannot_be_traced_is_named(tmp_path: Path) -> None:
    policy = make_policy(action_dims=3, encoder=ByValue())
    with pytest.raises(
        ValueError, match=r"encoder: expected a module that torch\.export can trace"
    ):
        export_policy(tmp_path / "policy.onnx", policy)
    assert not list(tmp_path.iterdir())


def test_bad_arguments_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = make_policy(action_dims=3)
    with pytest.raises(ValueError, match=r"path: expected a file that ends in \.onnx or \.pt2"):
        export_policy(tmp_path / "policy.pt", policy)
    with pytest.raises(TypeError, match="saved: expected a SavedPolicy, got LSTMPolicyBundle"):
        export_policy(tmp_path / "policy.pt2", policy.bundle)  # type: ignore[arg-type]  # the case
    with pytest.raises(TypeError, match="masks: expected"):
        export_policy(tmp_path / "policy.pt2", policy, masks=1)  # type: ignore[arg-type]  # the case
    policy.bundle.to(torch.float64)
    with pytest.raises(ValueError, match=r"saved: expected a policy in torch\.float32"):
        export_policy(tmp_path / "policy.pt2", policy)
    monkeypatch.setattr("tamiyo_rl.training.runs.export.find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"pip install 'tamiyo-rl\[onnx\]'"):
        export_policy(tmp_path / "policy.onnx", make_policy(action_dims=3))
    assert not list(tmp_path.iterdir())


def test_the_policy_itself_is_unchanged(tmp_path: Path) -> None:
    policy = make_policy(action_dims=3)
    policy.bundle.train()
    policy.bundle.get_action(torch.zeros(1, FEATURES))
    before = {name: tensor.clone() for name, tensor in policy.bundle.state_dict().items()}
    export_policy(tmp_path / "policy.pt2", policy)
    assert policy.bundle.training
    assert policy.bundle.network.validate
    assert all(tensor.equal(before[name]) for name, tensor in policy.bundle.state_dict().items())
