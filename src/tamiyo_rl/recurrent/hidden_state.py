"""The state of a recurrent network."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch


class HiddenState(NamedTuple):
    """The state of an LSTM, a pair that `nn.LSTM` takes as it is; or that of a GRU, without a `c`.

    Attributes:
        h: Output state, `[layers, B, hidden]`.
        c: Cell state, `[layers, B, hidden]`; None for a GRU.

    Examples:
        ```python
        import torch
        from tamiyo_rl import HiddenState

        state = HiddenState(torch.zeros(1, 2, 8), torch.zeros(1, 2, 8))
        output, _ = torch.nn.LSTM(4, 8, batch_first=True)(torch.zeros(2, 5, 4), state)
        print(list(output.shape), state.clone().h is state.h)
        ```

        ```text
        [2, 5, 8] False
        ```
    """

    h: torch.Tensor
    c: torch.Tensor = None  # type: ignore[assignment]  # so that users of an LSTM need not rule None out

    @property
    def parts(self) -> tuple[torch.Tensor, ...]:
        """The tensors that are there."""
        return (self.h,) if self.c is None else (self.h, self.c)

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> HiddenState:
        """Return the state of what a function makes of each tensor.

        Args:
            function: Takes and returns a tensor.
        """
        return HiddenState(*map(function, self.parts))

    def clone(self) -> HiddenState:
        """Return a copy, whose tensors are ordinary if inference mode is off."""
        return self.map(torch.Tensor.clone)
