"""Whether parameters have moved, told by a checksum of each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn.parameter import is_lazy

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Movement:
    """Follows each parameter until it has moved, also where it is put back later.

    Args:
        parameters: The parameters by name.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        self._parameters = parameters
        self._before: dict[str, int] = {}

    def begin(self) -> None:
        """Remember the parameters as they are, apart from those that no checksum can tell."""
        sums = {name: checksum(parameter) for name, parameter in self._parameters.items()}
        self._before = {name: value for name, value in sums.items() if value is not None}
        self._at_first = len(self._before)

    def see(self) -> None:
        """Drop the parameters that have moved."""
        for name, before in tuple(self._before.items()):
            if before != checksum(self._parameters[name]):
                del self._before[name]

    @property
    def still(self) -> frozenset[str]:
        """The names of those that have never been seen to move."""
        return frozenset(self._before)

    @property
    def has_any(self) -> bool:
        """Whether one has moved."""
        return len(self._before) < self._at_first


def is_plain(tensor: torch.Tensor) -> bool:
    """Tell whether a tensor is a dense one with values, and not a shard or another stand-in."""
    kind = type(tensor)
    known = kind is torch.Tensor or kind is torch.nn.Parameter
    return known and tensor.layout == torch.strided and not tensor.is_meta and not is_lazy(tensor)


def checksum(tensor: torch.Tensor) -> int | None:
    """Add up the bits of the elements, so that a change of one shows; None where it cannot be."""
    size = tensor.element_size() if is_plain(tensor) else 0
    if size not in INTEGERS or not tensor.numel() or tensor.is_complex():
        return None
    with torch.no_grad():
        return int(tensor.detach().view(INTEGERS[size]).sum(dtype=torch.int64))
