"""The recurrent layers in every type that computes, on CPUs with and without bfloat16."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from tamiyo_rl import EpisodicLSTM, LSTMPolicyBundle
from tamiyo_rl.recurrent import precision
from tests.recurrent.cells import CELLS, Core, make_state, parts_of

pytestmark = pytest.mark.clause("C13")
CELL = pytest.mark.parametrize("cell", CELLS)


@pytest.fixture(params=["as the CPU is", "without bfloat16"])
def cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without bfloat16":
        monkeypatch.setattr(precision, "ONEDNN_LACKS_BFLOAT16", True)


def autocast(dtype: torch.dtype = torch.bfloat16) -> torch.autocast:
    return torch.autocast("cpu", dtype=dtype)


@CELL
@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("time", "resets"), [(1, False), (6, False), (6, True)])
def test_outputs_under_autocast_are_of_its_type_and_train(
    cell: type[Core], time: int, resets: bool, given: torch.dtype, learned: bool
) -> None:
    lstm = cell(4, 8, 2, batch_first=True, learn_initial_state=learned)
    inputs = torch.randn(2, time, 4, dtype=given, requires_grad=True)
    starts = torch.zeros(2, time, dtype=torch.bool)
    starts[0, -1] = resets
    state = make_state(cell, lambda: torch.zeros(2, 2, 8))
    with autocast():
        outputs, after = lstm(inputs, state, starts)
    assert {part.dtype for part in (outputs, *parts_of(after))} == {torch.bfloat16}
    outputs.float().square().mean().backward()
    assert inputs.grad is not None
    assert lstm.weight_hh_l0.grad is not None
    assert lstm.weight_hh_l0.grad.dtype == torch.float32


@pytest.mark.usefixtures("cpu")
def test_types_under_autocast_are_those_of_nn_lstm() -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True)
    packed = pack_sequence([torch.randn(5, 4), torch.randn(3, 4)])
    with autocast():
        outputs = [lstm(inputs)[0] for inputs in (torch.randn(5, 4), torch.randn(2, 5, 4))]
        of_packed = lstm(packed)[0].data
    assert {output.dtype for output in outputs} == {torch.bfloat16}
    assert of_packed.dtype == torch.float32


@CELL
@pytest.mark.usefixtures("cpu")
def test_autocast_is_within_its_rounding(cell: type[Core]) -> None:
    torch.manual_seed(0)
    lstm = cell(8, 16, batch_first=True)
    inputs = torch.randn(4, 20, 8)
    starts = torch.rand(4, 20) < 0.2
    exact, _ = lstm(inputs, None, starts)
    with autocast():
        rounded, _ = lstm(inputs, None, starts)
    torch.testing.assert_close(rounded.float(), exact, rtol=0, atol=3e-2)


@pytest.mark.usefixtures("cpu")
def test_autocast_is_on_again_behind_the_recurrent_call() -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True)
    with autocast():
        lstm(torch.randn(2, 5, 4))
        assert torch.is_autocast_enabled("cpu")
        assert nn.functional.linear(torch.ones(1, 4), torch.ones(2, 4)).dtype == torch.bfloat16


@pytest.mark.usefixtures("cpu")
@pytest.mark.clause("C7")
@pytest.mark.parametrize("layers", [1, 2])
def test_rollout_and_training_agree_under_autocast(layers: int) -> None:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(4, 3, num_lstm_layers=layers, hidden_dim=16)
    features = torch.randn(8, 12, 4)
    starts = torch.rand(8, 12) < 0.2
    starts[:, 0] = True
    steps: list[Any] = []
    hidden = bundle.initial_hidden(8)
    with autocast():
        for t in range(12):
            steps.append(
                bundle.get_action(features[:, t], hidden=hidden, episode_starts=starts[:, t])
            )
            hidden = steps[-1].hidden
        actions = {"action": torch.stack([step.action["action"] for step in steps], dim=1).clone()}
        new = bundle.evaluate_actions(features, actions, episode_starts=starts)
    old = torch.stack([step.value for step in steps], dim=1)
    torch.testing.assert_close(new.value, old.clone(), rtol=0, atol=2e-2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_types_that_autocast_does_not_change_are_kept(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True, dtype=dtype)
    inputs = torch.randn(2, 5, 4, dtype=dtype)
    with autocast():
        expected = lstm(inputs)[0].dtype
        monkeypatch.setattr(precision, "ONEDNN_LACKS_BFLOAT16", True)
        assert lstm(inputs)[0].dtype == expected


@CELL
@pytest.mark.clause("C5")
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("size", [1.0, 9e3, 1e5, 1e20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_resets_are_exact_whatever_the_weights_are(
    cell: type[Core], dtype: torch.dtype, size: float, learned: bool
) -> None:
    torch.manual_seed(0)
    lstm = cell(4, 8, batch_first=True, learn_initial_state=learned, dtype=dtype)
    with torch.no_grad():
        for name, parameter in lstm.named_parameters():
            parameter.mul_(size if "_hh_" in name else 1)
    inputs = torch.randn(3, 6, 4, dtype=dtype, requires_grad=True)
    starts = torch.arange(6) == torch.tensor([[2], [3], [4]])
    outputs: torch.Tensor = lstm(inputs, None, starts)[0]
    fresh = [lstm(inputs[row : row + 1, row + 2 :])[0] for row in range(3)]
    for row, expected in enumerate(fresh):
        tolerance = 1e-2 if dtype == torch.bfloat16 else 1e-5
        torch.testing.assert_close(
            outputs[row : row + 1, row + 2 :], expected, rtol=0, atol=tolerance
        )
    (gradient,) = torch.autograd.grad([outputs[:, 4:].sum()], [inputs])
    assert gradient[:, :2].eq(0).all()


@CELL
@pytest.mark.clause("C5")
@pytest.mark.parametrize("learned", [False, True])
def test_resets_are_exact_in_float16(cell: type[Core], learned: bool) -> None:
    torch.manual_seed(0)
    lstm = cell(4, 8, batch_first=True, learn_initial_state=learned).half()
    inputs = torch.randn(2, 6, 4).half()
    starts = torch.tensor([[False] * 3 + [True] + [False] * 2] * 2)
    outputs, _ = lstm(inputs, None, starts)
    torch.testing.assert_close(outputs[:, 3:], lstm(inputs[:, 3:])[0], rtol=0, atol=2e-3)


@pytest.mark.clause("C5")
def test_weights_too_large_for_exact_resets_in_float16_are_refused() -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True).half()
    nn.init.constant_(lstm.weight_hh_l0, 5e3)
    starts = torch.tensor([[False, True, False]])
    with pytest.raises(ValueError, match=r"weight_hh: expected rows .* got 40000"):
        lstm(torch.ones(1, 3, 4).half(), None, starts)


@pytest.mark.clause("C5")
def test_weights_without_values_are_not_looked_at_in_float16() -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True, device="meta", dtype=torch.float16)
    starts = torch.tensor([[False, True, False]])
    outputs, _ = lstm(torch.ones(1, 3, 4, device="meta", dtype=torch.float16), None, starts)
    assert outputs.shape == (1, 3, 8)


def test_a_pytorch_without_onednn_is_not_said_to_lack_its_bfloat16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not precision._onednn_lacks_bfloat16()
