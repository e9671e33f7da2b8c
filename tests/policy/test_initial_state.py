"""The initial state of `EpisodicLSTM` where no step starts an episode."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from tamiyo_rl import EpisodePlan, EpisodicLSTM


def make_learned() -> EpisodicLSTM:
    lstm = EpisodicLSTM(4, 8, bias=False, learn_initial_state=True)
    assert lstm.initial_cell is not None
    nn.init.constant_(lstm.initial_cell, 0.5)
    return lstm


@pytest.mark.clause("C3")
def test_unbatched_inputs_begin_from_the_learned_state() -> None:
    lstm = make_learned()
    inputs = torch.randn(5, 4)
    outputs, _ = lstm(inputs)
    expected, _ = lstm(inputs[:, None])
    torch.testing.assert_close(outputs, expected[:, 0])


@pytest.mark.clause("C3")
def test_packed_sequences_begin_from_the_learned_state() -> None:
    lstm = make_learned()
    sequences = [torch.randn(5, 4), torch.randn(3, 4)]
    _, (h, _) = lstm(pack_sequence(sequences))
    expected = [lstm(sequence)[1][0] for sequence in sequences]
    torch.testing.assert_close(h, torch.stack(expected, dim=1))


@pytest.mark.clause("C5")
def test_reset_parameters_sets_a_learned_state_to_zeros() -> None:
    lstm = make_learned()
    lstm.reset_parameters()
    assert not lstm.initial_state(1).c.any()


@pytest.mark.clause("C5")
def test_plan_on_meta_has_no_resets() -> None:
    starts = torch.ones(2, 5, dtype=torch.bool)
    assert EpisodePlan(starts).resets == 8
    assert EpisodePlan(starts.to("meta")).resets == 0
