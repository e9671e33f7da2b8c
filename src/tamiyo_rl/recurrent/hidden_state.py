"""The state of a recurrent network."""

from __future__ import annotations

from typing import NamedTuple

import torch


class HiddenState(NamedTuple):
    """The state of an LSTM, a pair that `nn.LSTM` takes as it is.

    Attributes:
        h: Output state, `[layers, B, hidden]`.
        c: Cell state, `[layers, B, hidden]`.

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
    c: torch.Tensor

    def clone(self) -> HiddenState:
        """Return a copy, whose tensors are ordinary if inference mode is off."""
        return HiddenState(self.h.clone(), self.c.clone())
