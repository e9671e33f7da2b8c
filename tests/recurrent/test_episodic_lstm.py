"""`EpisodicLSTM` against a step-by-step loop, which is slow and plainly right."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tamiyo_rl import EpisodePlan, EpisodicLSTM, HiddenState
from tamiyo_rl.policy import ActionHeads
from tamiyo_rl.recurrent.packing import fewest_lanes, pack

pytestmark = pytest.mark.clause("C5")

Outputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def run_loop(
    lstm: EpisodicLSTM, inputs: torch.Tensor, hidden: Any, starts: torch.Tensor
) -> Outputs:
    initial = lstm.initial_state(inputs.shape[0])
    state = hidden or initial
    outputs = []
    for step in range(inputs.shape[1]):
        first = starts[:, step, None]
        state = tuple(torch.where(first, new, old) for new, old in zip(initial, state, strict=True))
        output, state = nn.LSTM.forward(lstm, inputs[:, step : step + 1], state)
        outputs.append(output)
    return torch.cat(outputs, dim=1), *state


def run_fused(
    lstm: EpisodicLSTM, inputs: torch.Tensor, hidden: Any, starts: torch.Tensor
) -> Outputs:
    outputs, (h, c) = lstm(inputs, hidden, starts)
    return outputs, h, c


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    batch = draw(st.integers(1, 5))
    time = draw(st.integers(1, 9))
    rows = st.lists(st.booleans(), min_size=time, max_size=time)
    return {
        "starts": torch.tensor(draw(st.lists(rows, min_size=batch, max_size=batch))),
        "layers": draw(st.integers(1, 3)),
        "features": draw(st.integers(1, 4)),
        "width": draw(st.integers(1, 5)),
        "bias": draw(st.booleans()),
        "learned": draw(st.booleans()),
        "hidden": draw(st.booleans()),
        "seed": draw(st.integers(0, 1000)),
    }


def build(case: dict[str, Any]) -> tuple[EpisodicLSTM, torch.Tensor, HiddenState | None]:
    torch.manual_seed(case["seed"])
    lstm = EpisodicLSTM(
        case["features"],
        case["width"],
        case["layers"],
        bias=case["bias"],
        batch_first=True,
        learn_initial_state=case["learned"],
        dtype=torch.float64,
    )
    for parameter in lstm.parameters():
        nn.init.normal_(parameter)
    batch, time = case["starts"].shape
    inputs = torch.randn(batch, time, case["features"], dtype=torch.float64, requires_grad=True)
    shape = (case["layers"], batch, case["width"])
    h, c = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(2))
    return lstm, inputs, HiddenState(h, c) if case["hidden"] else None


@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_outputs_and_gradients_equal_those_of_the_loop(case: dict[str, Any]) -> None:
    lstm, inputs, hidden = build(case)
    leaves = [*lstm.parameters(), inputs, *(hidden or ())]
    results = []
    for run in (run_fused, run_loop):
        outputs = run(lstm, inputs, hidden, case["starts"])
        loss = sum(
            (part * torch.arange(1, part.numel() + 1).view_as(part)).sin().sum() for part in outputs
        )
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)  # type: ignore[arg-type]  # to mypy a sum may be the int 0
        results.append((outputs, gradients))
    (fused, fused_gradients), (loop, loop_gradients) = results
    for got, expected in zip(fused, loop, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    for got, expected in zip(fused_gradients, loop_gradients, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("learned", [False, True])
def test_gradients_pass_gradcheck(learned: bool) -> None:
    torch.manual_seed(0)
    lstm = EpisodicLSTM(2, 3, batch_first=True, learn_initial_state=learned, dtype=torch.float64)
    starts = torch.tensor([[True, False, True, True], [False, False, False, True]])
    inputs = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    parameters = [p.detach().clone().requires_grad_() for p in lstm.parameters()]
    names = [name for name, _ in lstm.named_parameters()]

    def run(inputs: torch.Tensor, *values: torch.Tensor) -> Any:
        swapped = dict(zip(names, values, strict=True))
        outputs, (h, c) = torch.func.functional_call(lstm, swapped, (inputs, None, starts))
        return outputs, h, c

    assert torch.autograd.gradcheck(run, (inputs, *parameters))


def test_float32_outputs_equal_those_of_the_loop_to_rounding() -> None:
    torch.manual_seed(0)
    lstm = EpisodicLSTM(32, 128, batch_first=True)
    inputs = torch.randn(16, 128, 32)
    starts = torch.rand(16, 128) < 0.02
    with torch.no_grad():
        fused, loop = (run(lstm, inputs, None, starts) for run in (run_fused, run_loop))
    for got, expected in zip(fused, loop, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_float32_outputs_of_kept_rows_equal_those_of_the_loop_bit_for_bit() -> None:
    torch.manual_seed(0)
    lstm = EpisodicLSTM(32, 128, batch_first=True)
    inputs = torch.randn(16, 128, 32)
    starts = torch.arange(128) == torch.arange(10, 26)[:, None]
    assert EpisodePlan(starts).layout(torch.device("cpu"), learned=False).lanes == 16
    with torch.no_grad():
        fused, loop = (run(lstm, inputs, None, starts) for run in (run_fused, run_loop))
    for got, expected in zip(fused, loop, strict=True):
        assert got.equal(expected)


def test_no_gradient_passes_a_start() -> None:
    lstm = EpisodicLSTM(3, 5, num_layers=2, batch_first=True, learn_initial_state=True)
    inputs = torch.randn(2, 8, 3, requires_grad=True)
    starts = torch.zeros(2, 8, dtype=torch.bool)
    starts[0, 4] = True
    hidden = HiddenState(*(torch.randn(2, 2, 5, requires_grad=True) for _ in "hc"))
    outputs, _ = lstm(inputs, hidden, starts)
    before, of_hidden = torch.autograd.grad(outputs[0, 4:].sum(), (inputs, hidden.h))
    assert before[0, :4].eq(0).all()
    assert of_hidden.eq(0).all()
    assert before[0, 4:].ne(0).all()


def test_saturated_inputs_give_no_nan() -> None:
    lstm = EpisodicLSTM(3, 5, batch_first=True)
    inputs = torch.full((2, 6, 3), 1e3, requires_grad=True)
    starts = torch.tensor([[False, True] * 3, [False] * 6])
    outputs, _ = lstm(inputs, None, starts)
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()


def test_nan_in_a_replaced_hidden_state_does_not_enter() -> None:
    lstm = EpisodicLSTM(3, 5, batch_first=True)
    nan = torch.full((1, 2, 5), torch.nan)
    outputs, _ = lstm(torch.ones(2, 4, 3), (nan, nan), torch.tensor([[True, False] * 2] * 2))
    assert outputs.isfinite().all()


def test_without_starts_it_equals_nn_lstm() -> None:
    torch.manual_seed(0)
    ours = EpisodicLSTM(4, 8, 2, bidirectional=True)
    plain = nn.LSTM(4, 8, 2, bidirectional=True)
    ours.load_state_dict(plain.state_dict(), strict=True)
    inputs = torch.randn(5, 3, 4)
    for got, expected in zip(ours(inputs)[1], plain(inputs)[1], strict=True):
        assert got.equal(expected)


def test_time_major_inputs_give_the_same_outputs() -> None:
    lstm = EpisodicLSTM(4, 8)
    inputs = torch.randn(6, 2, 4)
    starts = torch.zeros(2, 6, dtype=torch.bool)
    starts[1, 3] = True
    outputs, _ = lstm(inputs, episode_starts=starts)
    lstm.batch_first = True
    expected, _ = lstm(inputs.transpose(0, 1), episode_starts=starts)
    assert outputs.equal(expected.transpose(0, 1))


def test_a_plan_stands_in_for_the_starts() -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True)
    inputs = torch.randn(6, 9, 4)
    starts = torch.rand(6, 9) < 0.3
    rows = torch.tensor([4, 1])
    by_plan, _ = lstm(inputs[rows], episode_starts=EpisodePlan(starts).rows(rows))
    by_starts, _ = lstm(inputs[rows], episode_starts=starts[rows])
    assert by_plan.equal(by_starts)


@pytest.mark.parametrize("learned", [False, True])
def test_plans_of_minibatches_are_those_of_their_rows_and_keep_their_layouts(learned: bool) -> None:
    starts = torch.rand(6, 9) < 0.3
    parts = torch.randperm(6).split(2)
    whole = EpisodePlan(starts)
    device = torch.device("cpu")
    for part, plan in zip(parts, whole.split(parts), strict=True):
        assert plan.episode_starts.equal(starts[part])
        layout = plan.layout(device, learned=learned)
        assert plan.layout(device, learned=learned) is layout
        assert plan.layout(device, learned=not learned) is not layout
        expected = EpisodePlan(starts[part]).layout(device, learned=learned)
        torch.testing.assert_close(tuple(layout), tuple(expected), rtol=0, atol=0)
        assert copy.copy(plan).layout(device, learned=learned) is not layout
    assert whole.split([torch.arange(6)] * 2) == [whole, whole]
    with pytest.raises(ValueError, match="index: expected an int64 tensor"):
        whole.split([torch.tensor([6])])


@pytest.mark.clause("C6")
def test_a_plan_made_under_inference_mode_serves_training_and_shares_nothing() -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True)
    with torch.inference_mode():
        starts = torch.tensor([[False, True, False]])
        plan = EpisodePlan(starts).rows(torch.tensor([0]))
        starts.zero_()
    lstm(torch.randn(1, 3, 4), episode_starts=plan)[0].sum().backward()
    assert plan.resets == 1


@pytest.mark.parametrize("time", [1, 3])
def test_outputs_and_state_share_no_memory(time: int) -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True)
    starts = torch.zeros(2, time, dtype=torch.bool)
    outputs, (h, _) = lstm(torch.randn(2, time, 4), episode_starts=starts)
    expected = h.detach().clone()
    outputs.detach().zero_()
    assert h.equal(expected)


def test_dropout_works_between_layers_and_is_off_in_eval() -> None:
    torch.manual_seed(0)
    lstm = EpisodicLSTM(4, 8, 2, dropout=0.5, batch_first=True)
    inputs = torch.randn(2, 6, 4)
    starts = torch.zeros(2, 6, dtype=torch.bool)
    starts[:, 3] = True
    first, second = (lstm(inputs, episode_starts=starts)[0] for _ in range(2))
    assert not first.equal(second)
    lstm.eval()
    first, second = (lstm(inputs, episode_starts=starts)[0] for _ in range(2))
    assert first.equal(second)


@pytest.mark.clause("C11")
@pytest.mark.parametrize("layers", [1, 3])
def test_state_dict_of_nn_lstm_loads_strictly_and_starts_from_zeros(layers: int) -> None:
    lstm = EpisodicLSTM(4, 8, layers, learn_initial_state=True)
    for parameter in lstm.parameters():
        nn.init.normal_(parameter)
    lstm.load_state_dict(nn.LSTM(4, 8, layers).state_dict(), strict=True)
    h, c = lstm.initial_state(1)
    assert not h.any()
    assert not c.any()


@pytest.mark.clause("C11")
def test_half_an_initial_state_is_refused() -> None:
    lstm = EpisodicLSTM(4, 8, learn_initial_state=True)
    state = lstm.state_dict()
    del state["initial_output"]
    with pytest.raises(RuntimeError, match="initial_output"):
        lstm.load_state_dict(state)


@pytest.mark.clause("C11")
def test_assigned_initial_states_do_not_share_memory() -> None:
    with torch.device("meta"):
        lstm = EpisodicLSTM(4, 8, learn_initial_state=True)
    lstm.load_state_dict(nn.LSTM(4, 8).state_dict(), assign=True)
    assert lstm.initial_cell is not None
    assert lstm.initial_output is not None
    assert lstm.initial_cell.data_ptr() != lstm.initial_output.data_ptr()
    assert lstm.initial_cell.device.type == "cpu"


@pytest.mark.clause("C11")
def test_loading_other_keys_leaves_the_initial_state() -> None:
    lstm = EpisodicLSTM(4, 8, learn_initial_state=True)
    assert lstm.initial_cell is not None
    nn.init.ones_(lstm.initial_cell)
    lstm.load_state_dict({"bias_ih_l0": torch.zeros(32)}, strict=False)
    assert lstm.initial_cell.eq(1).all()


@pytest.mark.clause("C10")
@pytest.mark.parametrize("time", [1, 5])
@pytest.mark.parametrize("size", [1, 3, 9])
def test_inputs_of_another_width_are_refused(size: int, time: int) -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True)
    starts = torch.ones(2, time, dtype=torch.bool)
    with pytest.raises(ValueError, match=f"input: expected 4 features.* got {size}"):
        lstm(torch.ones(2, time, size), None, starts)


@pytest.mark.clause("C10")
@pytest.mark.parametrize("shape", [(1, 2, 8), (2, 1, 8), (2, 8), (2, 2, 7)])
def test_hidden_states_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    lstm = EpisodicLSTM(4, 8, 2, batch_first=True)
    hidden = (torch.zeros(2, 2, 8), torch.zeros(shape))
    with pytest.raises(ValueError, match="hx: expected c of"):
        lstm(torch.ones(2, 5, 4), hidden, torch.ones(2, 5, dtype=torch.bool))


@pytest.mark.clause("C10")
@pytest.mark.parametrize(
    "starts",
    [
        torch.zeros(2, 5),
        torch.zeros(2, 5, dtype=torch.uint8),
        torch.zeros(5, dtype=torch.bool),
        torch.zeros(2, 0, dtype=torch.bool),
        [[True]],
        None,
    ],
    ids=str,
)
def test_a_plan_rejects_all_but_a_bool_matrix(starts: Any) -> None:
    with pytest.raises(ValueError, match="episode_starts: expected a bool tensor"):
        EpisodePlan(starts)


@pytest.mark.clause("C10")
@pytest.mark.parametrize(
    "index",
    [None, [0], torch.tensor([0.0]), torch.tensor([2]), torch.tensor(0), torch.zeros(0).long()],
    ids=str,
)
def test_rows_of_a_plan_rejects_bad_indices(index: Any) -> None:
    with pytest.raises(ValueError, match=r"index: expected|episode_starts: expected"):
        EpisodePlan(torch.ones(2, 3, dtype=torch.bool)).rows(index)


@pytest.mark.clause("C10")
@pytest.mark.parametrize("hidden", [(torch.zeros(1, 2, 8),), 3, (None, torch.zeros(1, 2, 8))])
def test_a_hidden_state_that_is_not_a_pair_of_tensors_is_refused(hidden: Any) -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True)
    with pytest.raises(TypeError, match="hx: expected"):
        lstm(torch.ones(2, 5, 4), hidden, torch.ones(2, 5, dtype=torch.bool))


@pytest.mark.clause("C10")
def test_other_arguments_are_refused_by_name() -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True)
    starts = torch.ones(2, 5, dtype=torch.bool)
    with pytest.raises(TypeError, match="input: expected a tensor"):
        lstm([[1.0]], None, starts)
    with pytest.raises(TypeError, match="episode_starts: expected a tensor"):
        lstm(torch.ones(2, 5, 4), None, [[True]])
    with pytest.raises(TypeError, match="learn_initial_state: expected True or False"):
        EpisodicLSTM(4, 8, learn_initial_state="no")  # type: ignore[arg-type]  # the argument is wrong on purpose
    with pytest.raises(ValueError, match="batch_size: expected"):
        lstm.initial_state(0)
    with pytest.raises(ValueError, match="action_dims: expected at least one head"):
        ActionHeads({})


def test_a_plan_copied_under_inference_mode_serves_training() -> None:
    lstm = EpisodicLSTM(4, 8, batch_first=True, learn_initial_state=True)
    laid_out = EpisodePlan(torch.tensor([[True, False, True]]))
    laid_out.layout(torch.device("cpu"), learned=True)
    with torch.inference_mode():
        plan = copy.deepcopy(laid_out)
    hidden = HiddenState(torch.zeros(1, 1, 8), torch.zeros(1, 1, 8))
    lstm(torch.randn(1, 3, 4), hidden, plan)[0].sum().backward()


@given(case=cases())
@settings(max_examples=100, deadline=None)
def test_packing_places_every_step_once_and_keeps_room_for_separators(case: dict[str, Any]) -> None:
    batch, time = case["starts"].shape
    layout = EpisodePlan(case["starts"]).layout(torch.device("cpu"), learned=case["learned"])
    real = layout.places.view(batch, time)
    assert layout.steps[layout.places].equal(torch.arange(batch * time))
    separators = layout.steps == batch * time
    assert separators.sum() == len(layout.steps) - batch * time
    kinds = layout.kinds.argmax(dim=1) if case["learned"] else layout.kinds[:, 0]
    assert separators.equal(kinds > 0)
    assert (real[:, 0] == torch.arange(batch)).all()
    steps = len(layout.steps) // layout.lanes
    assert (real[:, -1] == (steps - 1) * layout.lanes + layout.last).all()
    assert steps <= time + (2 if case["learned"] else 1) * int(case["starts"][:, 1:].sum(1).max())
    for place in real[:, 1:][case["starts"][:, 1:]].tolist():
        assert place < layout.lanes or kinds[place - layout.lanes] == 1 + case["learned"]
    assert EpisodePlan(case["starts"]).episode_starts.equal(case["starts"])


@pytest.mark.parametrize("separators", [1, 2])
def test_packing_takes_hardly_a_lane_more_than_it_must(separators: int) -> None:
    starts = torch.rand(64, 128, generator=torch.Generator().manual_seed(0)) < 0.02
    pieces = EpisodePlan(starts)._pieces()
    packing = pack(pieces, separators=separators)
    assert packing.lanes <= fewest_lanes(pieces, separators=separators) + 1


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_step_is_a_sequence_of_one_step(layers: int, *, learned: bool) -> None:
    lstm = EpisodicLSTM(4, 8, layers, batch_first=True, learn_initial_state=learned)
    features = torch.randn(3, 4)
    state = HiddenState(torch.randn(layers, 3, 8), torch.randn(layers, 3, 8))
    for starts in (torch.tensor([False, True, False]), torch.zeros(3, dtype=torch.bool)):
        expected, after = lstm(features[:, None], state, episode_starts=starts[:, None])
        for known in (starts, EpisodePlan(starts[:, None])):
            outputs, (h, c) = lstm.step(features, state, known)
            torch.testing.assert_close(outputs, expected[:, 0])
            torch.testing.assert_close((h, c), tuple(after))


@pytest.mark.parametrize("kind", [{"bidirectional": True}, {"proj_size": 4}])
def test_a_step_needs_one_direction_and_no_projection(kind: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected neither bidirectional nor proj_size"):
        EpisodicLSTM(4, 8, **kind).step(torch.zeros(3, 4))
