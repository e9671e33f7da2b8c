"""The encoder of images: its sizes, its scale, and the spaces that are images."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from tamiyo_rl import ImageEncoder, LSTMPolicyBundle
from tamiyo_rl.policy.spaces import SpaceAdapter

IMAGES = Box(0, 255, (3, 24, 24), np.uint8)


@pytest.mark.parametrize("shape", [(3, 24, 24), (24, 24, 3), (4, 84, 84), (1, 15, 40), (3, 36, 36)])
def test_images_large_and_small_fit(shape: tuple[int, ...]) -> None:
    encoder = ImageEncoder(shape, width=8)
    assert encoder(torch.zeros(2, int(np.prod(shape)))).shape == (2, 8)


def test_the_channels_may_stand_last() -> None:
    first, last = ImageEncoder((3, 24, 24)), ImageEncoder((24, 24, 3))
    last.load_state_dict(first.state_dict())
    image = torch.rand(2, 3, 24, 24)
    same = last(image.movedim(1, -1).flatten(1))
    torch.testing.assert_close(first(image.flatten(1)), same)


def test_images_are_scaled_once() -> None:
    encoder = ImageEncoder((1, 15, 15), width=4)
    pixels = torch.randint(256, (2, 225), dtype=torch.uint8)
    layers = encoder.layers(pixels.view(2, 1, 15, 15) / 255)
    torch.testing.assert_close(encoder(pixels), layers)


def test_the_signal_keeps_its_size() -> None:
    torch.manual_seed(0)
    encoded = ImageEncoder((3, 24, 24))(torch.randint(256, (64, 3 * 24 * 24)).float())
    assert 0.1 < encoded.std() < 1.0


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_policy_reads_images_as_they_are(cell: Any) -> None:
    bundle = LSTMPolicyBundle.from_spaces(
        IMAGES, Discrete(2), hidden_dim=8, encoder="cnn", cell=cell
    )
    adapter = SpaceAdapter(IMAGES, Discrete(2))
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 24, 24), np.uint8)
    features = adapter.features(images)
    assert features.dtype == torch.uint8
    assert features.equal(torch.from_numpy(images.reshape(5, -1)))
    step = bundle.get_action(features)
    again = bundle.get_action(features.float(), deterministic=True)
    assert step.value.equal(again.value)
    new = bundle.evaluate_actions(
        features[:, None], {"action": step.action["action"][:, None].clone()}
    )
    torch.testing.assert_close(new.value[:, 0], step.value.clone(), atol=1e-5, rtol=0)
    assert isinstance(bundle.encoder, ImageEncoder)


@pytest.mark.clause("C10")
@pytest.mark.parametrize(
    "space",
    [
        Box(0, 255, (3, 24, 24), np.float32),
        Box(0, 255, (24, 24), np.uint8),
        Box(0, 1, (3, 24, 24), np.uint8),
        Box(1, 255, (3, 24, 24), np.uint8),
        Discrete(3),
    ],
    ids=str,
)
def test_a_space_that_is_none_of_images_is_named(space: Any) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        LSTMPolicyBundle.from_spaces(space, Discrete(2), encoder="cnn")
    assert str(caught.value) == (
        'encoder: expected images for "cnn", a Box of uint8 from 0 to 255 with three dimensions, '
        f"got {space}. Leave it out, or pass a module."
    )


@pytest.mark.clause("C10")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ((24, 24),),
            "shape: expected three sizes of an image, such as (3, 24, 24), got (24, 24).",
        ),
        (
            ((3, 14, 24),),
            (
                "shape: expected an image of at least 15 in height and width, got (3, 14, 24). "
                "Flatten it, or pass an encoder of your own."
            ),
        ),
        (((3, 0, 24),), "shape[1]: expected an int of at least 1, got 0."),
        (((3, 24, 24), 0), "width: expected an int of at least 1, got 0."),
    ],
)
def test_an_image_that_does_not_fit_is_named(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        ImageEncoder(*arguments)
    assert str(caught.value) == message
