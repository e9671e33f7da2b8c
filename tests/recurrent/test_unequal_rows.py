"""Rows of unequal length in one call, and layers that share the parameters of PyTorch's own."""

from typing import Any

import pytest
import torch
from torch import nn

from tamiyo_rl import EpisodePlan, EpisodicLSTM
from tests.recurrent.cells import CELLS, Core, make_state, plain_of

pytestmark = pytest.mark.clause("C5")
CELL = pytest.mark.parametrize("cell", CELLS)
LENGTHS = [7, 1, 4, 12, 2]


def make_starts(rate: float) -> torch.Tensor:
    return torch.rand(sum(LENGTHS), generator=torch.Generator().manual_seed(0)) < rate


@CELL
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("given", [False, True])
def test_each_row_gives_what_it_gives_alone(rate: float, given: bool, cell: type[Core]) -> None:
    torch.manual_seed(0)
    core = cell(3, 5, 2, batch_first=True, dtype=torch.float64)
    starts = make_starts(rate)
    steps = torch.randn(len(starts), 3, dtype=torch.float64, requires_grad=True)
    state = make_state(cell, lambda: torch.randn(2, len(LENGTHS), 5, dtype=torch.float64))
    outputs = core.run_rows(steps, state if given else None, EpisodePlan.of_rows(starts, LENGTHS))
    expected = []
    for row, (own, own_starts) in enumerate(
        zip(steps.split(LENGTHS), starts.split(LENGTHS), strict=True)
    ):
        parts = core._parts(state)
        before = core._state(tuple(part[:, row : row + 1].contiguous() for part in parts))
        expected.append(core(own[None], before if given else None, own_starts[None])[0][0])
    torch.testing.assert_close(outputs, torch.cat(expected), rtol=0, atol=1e-12)
    weights = torch.arange(1.0, outputs.numel() + 1, dtype=torch.float64).view_as(outputs).sin()
    got, wanted = (
        torch.autograd.grad((found * weights).sum(), [steps, *core.parameters()])
        for found in (outputs, torch.cat(expected))
    )
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)


def test_a_plan_of_unequal_rows_tells_its_starts_and_rows() -> None:
    starts = make_starts(0.3)
    plan = EpisodePlan.of_rows(starts, LENGTHS)
    assert plan.shape == (5, 12)
    rows = starts.split(LENGTHS)
    for row, padded in zip(rows, plan.episode_starts, strict=True):
        assert padded[: len(row)].equal(row)
        assert not padded[len(row) :].any()
    assert plan.continued_rows == [i for i, row in enumerate(rows) if not row[0]]
    some = plan.rows(torch.tensor([3, 0]))
    assert some.episode_starts[0].equal(rows[3])


@pytest.mark.clause("C10")
@pytest.mark.parametrize("lengths", [[], [5, 0], [3, 3]])
def test_lengths_that_do_not_fit_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="lengths: expected positive numbers that sum to the 5"):
        EpisodePlan.of_rows(torch.zeros(5, dtype=torch.bool), lengths)


@CELL
def test_a_layer_shares_the_parameters_of_the_one_of_pytorch(cell: type[Core]) -> None:
    plain = plain_of(cell)(3, 5, 2, dropout=0.5, batch_first=True).eval()
    core = cell.sharing(plain)
    assert not core.training
    assert (core.dropout, core.batch_first) == (0.5, True)
    for name, parameter in plain.named_parameters():
        assert core.get_parameter(name) is parameter
    inputs = torch.randn(2, 6, 3)
    assert core(inputs)[0].equal(plain(inputs)[0])


@pytest.mark.clause("C10")
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.GRU(3, 5), "core: expected a torch.nn.LSTM, got GRU."),
        (EpisodicLSTM(3, 5), "core: expected a torch.nn.LSTM, got EpisodicLSTM."),
        (nn.LSTM(3, 5, bidirectional=True), "bidirectional: expected False, got True."),
        (nn.LSTM(3, 5, proj_size=2), "proj_size: expected 0, got 2."),
    ],
)
def test_a_layer_that_cannot_be_shared_is_refused(layer: Any, message: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        EpisodicLSTM.sharing(layer)
    assert str(caught.value) == message
