"""The two recurrent layers, and what differs between their states."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tamiyo_rl import EpisodicGRU, EpisodicLSTM, HiddenState

Core = EpisodicLSTM | EpisodicGRU
CELLS: list[type[Core]] = [EpisodicLSTM, EpisodicGRU]


def plain_of(cell: type[Core]) -> type[nn.LSTM | nn.GRU]:
    """Return PyTorch's own layer."""
    return nn.LSTM if cell is EpisodicLSTM else nn.GRU


def make_state(cell: type[Core], make: Callable[[], torch.Tensor]) -> Any:
    """Make a state, each part by a call."""
    return HiddenState(make(), make()) if cell is EpisodicLSTM else make()


def parts_of(state: Any) -> tuple[torch.Tensor, ...]:
    """Return the tensors of a state."""
    return (state,) if isinstance(state, torch.Tensor) else tuple(state)
