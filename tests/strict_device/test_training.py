"""A policy on the device trains, is saved and loaded, with the CPU as the default device."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import (
    FeatureNormalizer,
    PPOConfig,
    RecurrentPPO,
    evaluate_policy,
    load_checkpoint,
    load_policy,
    make_envs,
    save_checkpoint,
    save_policy,
)


def make_trainer(*, learned: bool = False, **settings: Any) -> RecurrentPPO:
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=8, learn_initial_hidden=learned).to("strict")
    config = PPOConfig(total_steps=128, num_steps=16, sequence_length=8, epochs=2, **settings)
    return RecurrentPPO(make_envs(num_envs=4), bundle, config)


@pytest.mark.parametrize(
    "settings",
    [{}, {"learned": True}, {"autocast": True}],
    ids=str,
)
def test_a_policy_trains_on_the_device(settings: dict[str, Any]) -> None:
    trainer = make_trainer(**settings)
    before = [parameter.clone() for parameter in trainer.bundle.parameters()]
    assert [report.steps for report in trainer.train()] == [64, 128]
    for parameter, old in zip(trainer.bundle.parameters(), before, strict=True):
        assert parameter.device.type == "strict"
        assert not torch.equal(parameter, old)


def test_a_compiled_policy_trains_on_the_device() -> None:
    trainer = make_trainer()
    assert isinstance(trainer.bundle, LSTMPolicyBundle)
    trainer.bundle.compile(backend="aot_eager")
    assert [report.steps for report in trainer.train()] == [64, 128]


def test_a_training_on_the_device_resumes_to_the_last_bit(tmp_path: Path) -> None:
    whole = make_trainer()
    resumed = make_trainer()
    for report in whole.train():
        if report.steps == 64:
            checkpoint = save_checkpoint(tmp_path, whole)
    load_checkpoint(checkpoint, resumed)
    assert [report.steps for report in resumed.train()] == [128]
    for expected, actual in zip(
        whole.bundle.parameters(), resumed.bundle.parameters(), strict=True
    ):
        assert torch.equal(expected, actual)


def test_a_policy_is_saved_loaded_and_evaluated_on_the_device(tmp_path: Path) -> None:
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=8).to("strict")
    save_policy(tmp_path / "policy.pt", bundle, FeatureNormalizer(2))
    loaded = load_policy(tmp_path / "policy.pt", device="strict")
    assert loaded.bundle.device.type == "strict"
    evaluate_policy(loaded.bundle, make_envs(num_envs=4), loaded.normalizer)  # or it raises
