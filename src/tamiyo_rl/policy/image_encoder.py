"""The encoder of images."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from tamiyo_rl.checks import require_positive

CHANNELS = 32, 64, 64
KERNELS = (8, 4), (4, 2), (3, 1)  # size and stride, as in Mnih et al. 2015
SMALL_KERNELS = (3, 2), (3, 2), (3, 1)  # for images in which those of the paper do not fit
LARGE = 36  # the least height and width in which the kernels of the paper fit
SMALLEST = 15  # as above, for the small ones


class ImageEncoder(nn.Module):
    """Three convolutions and a linear layer, as in Mnih et al. 2015 (doi:10.1038/nature14236).

    Kernels of 8, 4 and 3 with strides 4, 2 and 1, as in the paper, where height and width are at
    least 36; kernels of 3 with strides 2, 2 and 1 for smaller images. It divides by 255, so that
    images from 0 to 255 go in as they are.

    Args:
        shape: `[C, H, W]` or `[H, W, C]` of an image; the smaller of the outer two is the channels.
        width: Numbers that describe an image, E.

    Raises:
        ValueError: If a size is below 1, or the image has another number of dimensions or is
            smaller than 15 in height or width.

    Examples:
        ```python
        import torch
        from tamiyo_rl import ImageEncoder

        encoder = ImageEncoder((3, 24, 24), width=64)
        images = torch.randint(256, (5, 3 * 24 * 24), dtype=torch.uint8)
        print(list(encoder(images).shape))
        ```

        ```text
        [5, 64]
        ```
    """

    def __init__(self, shape: Sequence[int], width: int = 256) -> None:
        super().__init__()
        channels, *size = _channels_first(shape)
        require_positive(width=width)
        self.shape = tuple(shape)
        self.width = width
        kernels = KERNELS if min(size) >= LARGE else SMALL_KERNELS
        pairs = zip(pairwise((channels, *CHANNELS)), kernels, strict=True)
        layers = [
            layer for sizes, kernel in pairs for layer in (nn.Conv2d(*sizes, *kernel), nn.ReLU())
        ]
        for kernel, stride in kernels:
            size = [(length - kernel) // stride + 1 for length in size]
        flat = CHANNELS[-1] * size[0] * size[1]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, width), nn.ReLU())
        self._initialise()

    def _initialise(self) -> None:
        """Keep the size of the signal from layer to layer, which the usual weights would shrink."""
        for layer in self.layers:
            for name, parameter in layer.named_parameters():
                if name == "bias":
                    nn.init.zeros_(parameter)
                else:
                    nn.init.orthogonal_(parameter, gain=nn.init.calculate_gain("relu"))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Encode flat images `[N, F]` from 0 to 255 as `[N, E]`."""
        unflat = images.unflatten(1, self.shape) / 255
        if self.shape[0] > self.shape[2]:
            unflat = unflat.movedim(-1, 1)
        encoded: torch.Tensor = self.layers(unflat)
        return encoded


def _channels_first(shape: Sequence[int]) -> tuple[int, ...]:
    if len(shape) != 3:
        raise ValueError(
            f"shape: expected three sizes of an image, such as (3, 24, 24), got {tuple(shape)}."
        )
    require_positive(**{f"shape[{i}]": size for i, size in enumerate(shape)})
    first = tuple(shape) if shape[0] <= shape[2] else (shape[2], *shape[:2])
    if min(first[1:]) < SMALLEST:
        raise ValueError(
            f"shape: expected an image of at least {SMALLEST} in height and width, got "
            f"{tuple(shape)}. Flatten it, or pass an encoder of your own."
        )
    return first
