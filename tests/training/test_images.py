"""Training on images: they are stored and read as they are, and a task that needs memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tamiyo_rl import ImageEncoder, LSTMPolicyBundle
from tamiyo_rl.training import (
    PPOConfig,
    RecurrentPPO,
    RolloutBuffer,
    SavedPolicy,
    evaluate_policy,
    export_policy,
    load_policy,
    make_envs,
    save_policy,
)
from tamiyo_rl.training.runs.run import open_run
from tamiyo_rl.training.runs.settings import RunSettings
from tests.training.runs.test_export import LOADERS

TASK = "tamiyo-rl/ColourRecall-v1"
PIXELS = 3 * 24 * 24


def make_trainer(encoder: Any = "cnn", **config: Any) -> RecurrentPPO:
    torch.manual_seed(0)
    envs = make_envs(TASK, 8)
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space,
        envs.single_action_space,
        hidden_dim=32,
        encoder=encoder,
        cell="gru",
    )
    settings = {"num_steps": 32, "sequence_length": 32, "num_minibatches": 4, "epochs": 4}
    return RecurrentPPO(envs, bundle, PPOConfig(**settings | config))


def test_training_learns_to_recall_a_colour() -> None:
    trainer = make_trainer(total_steps=8_000, learning_rate=2e-3)
    list(trainer.train())
    returns = evaluate_policy(trainer.bundle, make_envs(TASK, 8), trainer.normalizer, episodes=40)
    assert returns.mean() > 0.9  # a policy without memory gets 1/3


def test_images_are_stored_in_a_quarter_of_the_memory_and_not_normalised() -> None:
    trainer = make_trainer(total_steps=256, epochs=1)
    report = next(trainer.train())
    assert report.first_ratio_error < 1e-4
    batch = next(trainer.buffer.sequences())
    assert batch.features.dtype == torch.uint8
    assert batch.features.nbytes == 8 * 32 * PIXELS
    assert batch.features.max() == 255
    assert not trainer.normalizer.enabled


def test_a_module_of_ones_own_reads_the_same_pixels() -> None:
    seen = []

    class Own(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images.max().item())
            return images[:, :4] / 255

    trainer = make_trainer(Own(), total_steps=256, epochs=1)
    next(trainer.train())
    assert max(seen) == 255
    assert next(trainer.buffer.sequences()).features.dtype == torch.uint8


def test_without_an_encoder_images_are_normalised_as_numbers() -> None:
    trainer = make_trainer(None, total_steps=256, epochs=1)
    next(trainer.train())
    features = next(trainer.buffer.sequences()).features
    assert features.dtype == torch.float32
    assert features.min() < 0
    assert features.abs().max() <= 10


def test_a_saved_policy_brings_its_encoder(tmp_path: Path) -> None:
    trainer = make_trainer(total_steps=256, epochs=1)
    next(trainer.train())
    bundle: Any = trainer.bundle
    save_policy(tmp_path / "policy.pt", bundle, trainer.normalizer)
    loaded = load_policy(tmp_path / "policy.pt")
    assert isinstance(loaded.bundle.encoder, ImageEncoder)
    images = torch.randint(256, (4, PIXELS), dtype=torch.uint8)
    same = loaded.bundle.get_value(loaded.normalizer(images))
    assert same.equal(bundle.eval().get_value(images))


def test_a_run_takes_the_encoder_by_its_name(tmp_path: Path) -> None:
    ppo = PPOConfig(total_steps=256, num_minibatches=1, epochs=1)
    settings = RunSettings(env=TASK, encoder="cnn", hidden_dim=8, ppo=ppo)
    with open_run(settings, tmp_path / "run") as run:
        assert len(list(run.train())) == 1
    assert isinstance(load_policy(run.folder.policy).bundle.encoder, ImageEncoder)
    with (
        pytest.raises(ValueError, match='encoder: expected images for "cnn"'),
        open_run(RunSettings(encoder="cnn"), tmp_path / "other"),
    ):
        pass
    assert not (tmp_path / "other").exists()


@pytest.mark.clause("C10")
def test_numbers_that_a_buffer_of_images_would_cut_are_named() -> None:
    bundle = LSTMPolicyBundle(4, 2, hidden_dim=8)
    buffer = RolloutBuffer(bundle, 2, 3, feature_dtype=torch.uint8)
    features = torch.rand(2, 4)
    never = np.zeros(2, dtype=bool)
    with pytest.raises(TypeError, match=r"features: expected torch.uint8, as they are stored, got"):
        buffer.add(
            features,
            bundle.get_action(features),
            hidden=bundle.initial_hidden(2),
            episode_starts=never,
            rewards=np.zeros(2),
            terminated=never,
            truncated=never,
        )


@pytest.mark.parametrize("ending", LOADERS)
def test_an_exported_policy_sees_the_same_images(ending: str, tmp_path: Path) -> None:
    trainer = make_trainer(total_steps=256, epochs=1)
    bundle: Any = trainer.bundle
    export_policy(tmp_path / f"policy{ending}", SavedPolicy(bundle.eval(), trainer.normalizer))
    images = torch.randint(256, (5, PIXELS), dtype=torch.uint8)
    expected = bundle.get_action(images, deterministic=True)
    outputs = LOADERS[ending](tmp_path / f"policy{ending}")(
        features=images.float().numpy(),
        episode_starts=np.ones(5, dtype=bool),
        h=np.zeros((1, 5, 32), np.float32),
    )
    np.testing.assert_allclose(outputs["value"], expected.value.numpy(), atol=1e-5, rtol=0)
    assert (outputs["action"] == expected.action["action"].numpy()).all()
