"""The recurrent layers in the place of those of PyTorch."""

from __future__ import annotations

import warnings

import pytest
import torch

from tamiyo_rl import EpisodicGRU, EpisodicLSTM
from tests.recurrent.cells import CELLS, Core, make_state, parts_of, plain_of

CELL = pytest.mark.parametrize("cell", CELLS)
LEARNED = pytest.mark.parametrize("learned", [False, True])


@CELL
def test_arguments_have_the_names_of_those_of_pytorch(cell: type[Core]) -> None:
    core = cell(4, 8, batch_first=True)
    plain = plain_of(cell)(4, 8, batch_first=True)
    plain.load_state_dict(core.state_dict())
    inputs = torch.randn(2, 5, 4)
    state = make_state(cell, lambda: torch.randn(1, 2, 8))
    assert core(input=inputs, hx=state)[0].equal(plain(input=inputs, hx=state)[0])


@CELL
@LEARNED
def test_an_empty_batch_gives_empty_outputs(learned: bool, cell: type[Core]) -> None:
    core = cell(4, 8, batch_first=True, learn_initial_state=learned)
    outputs, state = core(torch.zeros(0, 5, 4))
    assert outputs.shape == (0, 5, 8)
    assert {part.shape for part in parts_of(state)} == {(1, 0, 8)}


@CELL
@LEARNED
def test_it_can_be_traced_by_torch_jit(learned: bool, cell: type[Core]) -> None:
    core = cell(4, 8, batch_first=True, learn_initial_state=learned)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls the tracer deprecated
        traced = torch.jit.trace(core, torch.zeros(2, 5, 4), check_trace=False)
    inputs = torch.randn(3, 7, 4)
    torch.testing.assert_close(traced(inputs)[0], core(inputs)[0])


def test_its_description_tells_a_learned_initial_state() -> None:
    learned = EpisodicLSTM(4, 8, learn_initial_state=True)
    assert repr(learned) == "EpisodicLSTM(4, 8, learn_initial_state=True)"
    assert repr(EpisodicLSTM(4, 8)) == "EpisodicLSTM(4, 8)"
    assert repr(EpisodicGRU(4, 8)) == "EpisodicGRU(4, 8)"
