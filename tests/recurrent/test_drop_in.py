"""`EpisodicLSTM` in the place of an `nn.LSTM`."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from tamiyo_rl import EpisodicLSTM

LEARNED = pytest.mark.parametrize("learned", [False, True])


def test_arguments_have_the_names_of_nn_lstm() -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True)
    plain = nn.LSTM(4, 8, batch_first=True)
    plain.load_state_dict(lstm.state_dict())
    inputs = torch.randn(2, 5, 4)
    state = (torch.randn(1, 2, 8), torch.randn(1, 2, 8))
    assert lstm(input=inputs, hx=state)[0].equal(plain(input=inputs, hx=state)[0])


@LEARNED
def test_an_empty_batch_gives_empty_outputs(learned: bool) -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True, learn_initial_state=learned)
    outputs, (h, c) = lstm(torch.zeros(0, 5, 4))
    assert outputs.shape == (0, 5, 8)
    assert h.shape == c.shape == (1, 0, 8)


@LEARNED
def test_it_can_be_traced_by_torch_jit(learned: bool) -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True, learn_initial_state=learned)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls the tracer deprecated
        traced = torch.jit.trace(lstm, torch.zeros(2, 5, 4), check_trace=False)
    inputs = torch.randn(3, 7, 4)
    torch.testing.assert_close(traced(inputs)[0], lstm(inputs)[0])


def test_its_description_tells_a_learned_initial_state() -> None:
    learned = EpisodicLSTM(4, 8, learn_initial_state=True)
    assert repr(learned) == "EpisodicLSTM(4, 8, learn_initial_state=True)"
    assert repr(EpisodicLSTM(4, 8)) == "EpisodicLSTM(4, 8)"
