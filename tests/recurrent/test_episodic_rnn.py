"""The recurrent layers against a step-by-step loop, which is slow and plainly right."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tamiyo_rl import EpisodePlan, EpisodicGRU, EpisodicLSTM
from tamiyo_rl.policy import ActionHeads
from tamiyo_rl.recurrent.packing import fewest_lanes, pack
from tests.recurrent.cells import CELLS, Core, make_state, parts_of, plain_of

pytestmark = pytest.mark.clause("C5")

CELL = pytest.mark.parametrize("cell", CELLS)
Outputs = tuple[torch.Tensor, ...]


def run_loop(core: Core, inputs: torch.Tensor, hidden: Any, starts: torch.Tensor) -> Outputs:
    initial = parts_of(core.initial_state(inputs.shape[0]))
    parts = initial if hidden is None else parts_of(hidden)
    outputs = []
    for step in range(inputs.shape[1]):
        first = starts[:, step, None]
        parts = tuple(torch.where(first, new, old) for new, old in zip(initial, parts, strict=True))
        state = core._state(parts)
        forward: Any = plain_of(type(core)).forward
        output, state = forward(core, inputs[:, step : step + 1], state)
        parts = parts_of(state)
        outputs.append(output)
    return torch.cat(outputs, dim=1), *parts


def run_fused(core: Core, inputs: torch.Tensor, hidden: Any, starts: torch.Tensor) -> Outputs:
    outputs, state = core(inputs, hidden, starts)
    return outputs, *parts_of(state)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    batch = draw(st.integers(1, 5))
    time = draw(st.integers(1, 9))
    rows = st.lists(st.booleans(), min_size=time, max_size=time)
    return {
        "cell": draw(st.sampled_from(CELLS)),
        "starts": torch.tensor(draw(st.lists(rows, min_size=batch, max_size=batch))),
        "layers": draw(st.integers(1, 3)),
        "features": draw(st.integers(1, 4)),
        "width": draw(st.integers(1, 5)),
        "bias": draw(st.booleans()),
        "learned": draw(st.booleans()),
        "hidden": draw(st.booleans()),
        "seed": draw(st.integers(0, 1000)),
    }


def build(case: dict[str, Any]) -> tuple[Core, torch.Tensor, Any]:
    torch.manual_seed(case["seed"])
    core: Core = case["cell"](
        case["features"],
        case["width"],
        case["layers"],
        bias=case["bias"],
        batch_first=True,
        learn_initial_state=case["learned"],
        dtype=torch.float64,
    )
    for parameter in core.parameters():
        nn.init.normal_(parameter)
    batch, time = case["starts"].shape
    inputs = torch.randn(batch, time, case["features"], dtype=torch.float64, requires_grad=True)
    shape = (case["layers"], batch, case["width"])
    hidden = make_state(
        case["cell"], lambda: torch.randn(shape, dtype=torch.float64, requires_grad=True)
    )
    return core, inputs, hidden if case["hidden"] else None


@given(case=cases())
@settings(max_examples=200, deadline=None)
def test_outputs_and_gradients_equal_those_of_the_loop(case: dict[str, Any]) -> None:
    core, inputs, hidden = build(case)
    leaves = [*core.parameters(), inputs, *(() if hidden is None else parts_of(hidden))]
    results = []
    for run in (run_fused, run_loop):
        outputs = run(core, inputs, hidden, case["starts"])
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


@CELL
@pytest.mark.parametrize("learned", [False, True])
def test_gradients_pass_gradcheck(cell: type[Core], learned: bool) -> None:
    torch.manual_seed(0)
    core = cell(2, 3, batch_first=True, learn_initial_state=learned, dtype=torch.float64)
    starts = torch.tensor([[True, False, True, True], [False, False, False, True]])
    inputs = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    parameters = [p.detach().clone().requires_grad_() for p in core.parameters()]
    names = [name for name, _ in core.named_parameters()]

    def run(inputs: torch.Tensor, *values: torch.Tensor) -> Any:
        swapped = dict(zip(names, values, strict=True))
        outputs, state = torch.func.functional_call(core, swapped, (inputs, None, starts))
        return outputs, *parts_of(state)

    assert torch.autograd.gradcheck(run, (inputs, *parameters))


@CELL
def test_float32_outputs_equal_those_of_the_loop_to_rounding(cell: type[Core]) -> None:
    torch.manual_seed(0)
    core = cell(32, 128, batch_first=True)
    inputs = torch.randn(16, 128, 32)
    starts = torch.rand(16, 128) < 0.02
    with torch.no_grad():
        fused, loop = (run(core, inputs, None, starts) for run in (run_fused, run_loop))
    for got, expected in zip(fused, loop, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_float32_outputs_of_kept_rows_equal_those_of_the_loop_bit_for_bit() -> None:
    torch.manual_seed(0)
    core = EpisodicLSTM(32, 128, batch_first=True)
    inputs = torch.randn(16, 128, 32)
    starts = torch.arange(128) == torch.arange(10, 26)[:, None]
    assert EpisodePlan(starts).layout(torch.device("cpu"), learned=False).lanes == 16
    with torch.no_grad():
        fused, loop = (run(core, inputs, None, starts) for run in (run_fused, run_loop))
    for got, expected in zip(fused, loop, strict=True):
        assert got.equal(expected)


@CELL
def test_no_gradient_passes_a_start(cell: type[Core]) -> None:
    core = cell(3, 5, num_layers=2, batch_first=True, learn_initial_state=True)
    inputs = torch.randn(2, 8, 3, requires_grad=True)
    starts = torch.zeros(2, 8, dtype=torch.bool)
    starts[0, 4] = True
    hidden = make_state(cell, lambda: torch.randn(2, 2, 5, requires_grad=True))
    outputs, _ = core(inputs, hidden, starts)
    leaves = (inputs, *parts_of(hidden))
    before, *of_hidden = torch.autograd.grad(outputs[0, 4:].sum(), leaves)
    assert before[0, :4].eq(0).all()
    assert all(gradient.eq(0).all() for gradient in of_hidden)
    assert before[0, 4:].ne(0).all()


@CELL
def test_saturated_inputs_give_no_nan(cell: type[Core]) -> None:
    core = cell(3, 5, batch_first=True)
    inputs = torch.full((2, 6, 3), 1e3, requires_grad=True)
    starts = torch.tensor([[False, True] * 3, [False] * 6])
    outputs, _ = core(inputs, None, starts)
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()


@CELL
def test_nan_in_a_replaced_hidden_state_does_not_enter(cell: type[Core]) -> None:
    core = cell(3, 5, batch_first=True)
    nan = make_state(cell, lambda: torch.full((1, 2, 5), torch.nan))
    outputs, _ = core(torch.ones(2, 4, 3), nan, torch.tensor([[True, False] * 2] * 2))
    assert outputs.isfinite().all()


@CELL
def test_without_starts_it_equals_that_of_pytorch(cell: type[Core]) -> None:
    torch.manual_seed(0)
    ours = cell(4, 8, 2, bidirectional=True)
    plain = plain_of(cell)(4, 8, 2, bidirectional=True)
    ours.load_state_dict(plain.state_dict(), strict=True)
    inputs = torch.randn(5, 3, 4)
    pairs = zip(parts_of(ours(inputs)[1]), parts_of(plain(inputs)[1]), strict=True)
    for got, expected in pairs:
        assert got.equal(expected)


@CELL
def test_time_major_inputs_give_the_same_outputs(cell: type[Core]) -> None:
    core = cell(4, 8)
    inputs = torch.randn(6, 2, 4)
    starts = torch.zeros(2, 6, dtype=torch.bool)
    starts[1, 3] = True
    outputs, _ = core(inputs, episode_starts=starts)
    core.batch_first = True
    expected, _ = core(inputs.transpose(0, 1), episode_starts=starts)
    assert outputs.equal(expected.transpose(0, 1))


@CELL
def test_a_plan_stands_in_for_the_starts(cell: type[Core]) -> None:
    core = cell(4, 8, batch_first=True)
    inputs = torch.randn(6, 9, 4)
    starts = torch.rand(6, 9) < 0.3
    rows = torch.tensor([4, 1])
    by_plan, _ = core(inputs[rows], episode_starts=EpisodePlan(starts).rows(rows))
    by_starts, _ = core(inputs[rows], episode_starts=starts[rows])
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


@CELL
@pytest.mark.clause("C6")
def test_a_plan_made_under_inference_mode_serves_training_and_shares_nothing(
    cell: type[Core],
) -> None:
    core = cell(4, 8, batch_first=True)
    with torch.inference_mode():
        starts = torch.tensor([[False, True, False]])
        plan = EpisodePlan(starts).rows(torch.tensor([0]))
        starts.zero_()
    core(torch.randn(1, 3, 4), episode_starts=plan)[0].sum().backward()
    assert plan.resets == 1


@CELL
@pytest.mark.parametrize("time", [1, 3])
def test_outputs_and_state_share_no_memory(cell: type[Core], time: int) -> None:
    core = cell(4, 8, batch_first=True)
    starts = torch.zeros(2, time, dtype=torch.bool)
    outputs, state = core(torch.randn(2, time, 4), episode_starts=starts)
    h, *_ = parts_of(state)
    expected = h.detach().clone()
    outputs.detach().zero_()
    assert h.equal(expected)


@CELL
def test_dropout_works_between_layers_and_is_off_in_eval(cell: type[Core]) -> None:
    torch.manual_seed(0)
    core = cell(4, 8, 2, dropout=0.5, batch_first=True)
    inputs = torch.randn(2, 6, 4)
    starts = torch.zeros(2, 6, dtype=torch.bool)
    starts[:, 3] = True
    first, second = (core(inputs, episode_starts=starts)[0] for _ in range(2))
    assert not first.equal(second)
    core.eval()
    first, second = (core(inputs, episode_starts=starts)[0] for _ in range(2))
    assert first.equal(second)


@CELL
@pytest.mark.clause("C11")
@pytest.mark.parametrize("layers", [1, 3])
def test_a_state_dict_of_pytorch_loads_strictly_and_starts_from_zeros(
    cell: type[Core], layers: int
) -> None:
    core = cell(4, 8, layers, learn_initial_state=True)
    for parameter in core.parameters():
        nn.init.normal_(parameter)
    core.load_state_dict(plain_of(cell)(4, 8, layers).state_dict(), strict=True)
    assert not any(part.any() for part in parts_of(core.initial_state(1)))


@pytest.mark.clause("C11")
def test_half_an_initial_state_is_refused() -> None:
    core = EpisodicLSTM(4, 8, learn_initial_state=True)
    state = core.state_dict()
    del state["initial_output"]
    with pytest.raises(RuntimeError, match="initial_output"):
        core.load_state_dict(state)


@pytest.mark.clause("C11")
def test_assigned_initial_states_do_not_share_memory() -> None:
    with torch.device("meta"):
        core = EpisodicLSTM(4, 8, learn_initial_state=True)
    core.load_state_dict(nn.LSTM(4, 8).state_dict(), assign=True)
    assert core.initial_cell is not None
    assert core.initial_output is not None
    assert core.initial_cell.data_ptr() != core.initial_output.data_ptr()
    assert core.initial_cell.device.type == "cpu"


@pytest.mark.clause("C11")
def test_loading_other_keys_leaves_the_initial_state() -> None:
    core = EpisodicLSTM(4, 8, learn_initial_state=True)
    assert core.initial_cell is not None
    nn.init.ones_(core.initial_cell)
    core.load_state_dict({"bias_ih_l0": torch.zeros(32)}, strict=False)
    assert core.initial_cell.eq(1).all()


@CELL
@pytest.mark.clause("C10")
@pytest.mark.parametrize("time", [1, 5])
@pytest.mark.parametrize("size", [1, 3, 9])
def test_inputs_of_another_width_are_refused(cell: type[Core], size: int, time: int) -> None:
    core = cell(4, 8, batch_first=True)
    starts = torch.ones(2, time, dtype=torch.bool)
    with pytest.raises(ValueError, match=f"input: expected 4 features.* got {size}"):
        core(torch.ones(2, time, size), None, starts)


@pytest.mark.clause("C10")
@pytest.mark.parametrize("shape", [(1, 2, 8), (2, 1, 8), (2, 8), (2, 2, 7)])
def test_hidden_states_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    core = EpisodicLSTM(4, 8, 2, batch_first=True)
    hidden = (torch.zeros(2, 2, 8), torch.zeros(shape))
    with pytest.raises(ValueError, match="hx: expected c of"):
        core(torch.ones(2, 5, 4), hidden, torch.ones(2, 5, dtype=torch.bool))


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
    core = EpisodicLSTM(4, 8, batch_first=True)
    with pytest.raises(TypeError, match="hx: expected"):
        core(torch.ones(2, 5, 4), hidden, torch.ones(2, 5, dtype=torch.bool))


@CELL
@pytest.mark.clause("C10")
def test_other_arguments_are_refused_by_name(cell: type[Core]) -> None:
    core = cell(4, 8, batch_first=True)
    starts = torch.ones(2, 5, dtype=torch.bool)
    with pytest.raises(TypeError, match="input: expected a tensor"):
        core([[1.0]], None, starts)
    with pytest.raises(TypeError, match="episode_starts: expected a tensor"):
        core(torch.ones(2, 5, 4), None, [[True]])
    with pytest.raises(TypeError, match="learn_initial_state: expected True or False"):
        cell(4, 8, learn_initial_state="no")  # type: ignore[arg-type]  # the argument is wrong on purpose
    with pytest.raises(ValueError, match="batch_size: expected"):
        core.initial_state(0)
    with pytest.raises(ValueError, match="action_dims: expected at least one head"):
        ActionHeads({})


@CELL
def test_a_plan_copied_under_inference_mode_serves_training(cell: type[Core]) -> None:
    core = cell(4, 8, batch_first=True, learn_initial_state=True)
    laid_out = EpisodePlan(torch.tensor([[True, False, True]]))
    laid_out.layout(torch.device("cpu"), learned=True)
    with torch.inference_mode():
        plan = copy.deepcopy(laid_out)
    hidden = make_state(cell, lambda: torch.zeros(1, 1, 8))
    core(torch.randn(1, 3, 4), hidden, plan)[0].sum().backward()


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


@CELL
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_step_is_a_sequence_of_one_step(cell: type[Core], layers: int, *, learned: bool) -> None:
    core = cell(4, 8, layers, batch_first=True, learn_initial_state=learned)
    features = torch.randn(3, 4)
    state = make_state(cell, lambda: torch.randn(layers, 3, 8))
    for starts in (torch.tensor([False, True, False]), torch.zeros(3, dtype=torch.bool)):
        expected, after = core(features[:, None], state, episode_starts=starts[:, None])
        for known in (starts, EpisodePlan(starts[:, None])):
            outputs, stepped = core.step(features, state, known)
            torch.testing.assert_close(outputs, expected[:, 0])
            torch.testing.assert_close(parts_of(stepped), parts_of(after))


@pytest.mark.parametrize("kind", [{"bidirectional": True}, {"proj_size": 4}])
def test_a_step_needs_one_direction_and_no_projection(kind: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected neither bidirectional nor proj_size"):
        EpisodicLSTM(4, 8, **kind).step(torch.zeros(3, 4))


@pytest.mark.clause("C10")
@pytest.mark.parametrize("hidden", [(torch.zeros(1, 2, 8),), 3])
def test_a_state_of_a_gru_that_is_not_a_tensor_is_refused(hidden: Any) -> None:
    core = EpisodicGRU(4, 8, batch_first=True)
    with pytest.raises(TypeError, match="hx: expected a tensor, got"):
        core(torch.ones(2, 5, 4), hidden, torch.ones(2, 5, dtype=torch.bool))


@pytest.mark.clause("C10")
def test_a_state_of_a_gru_of_another_shape_is_refused() -> None:
    core = EpisodicGRU(4, 8, 2, batch_first=True)
    with pytest.raises(ValueError, match="hx: expected h of"):
        core(torch.ones(2, 5, 4), torch.zeros(2, 2, 7), torch.ones(2, 5, dtype=torch.bool))


def test_a_gru_lays_a_plan_out_for_its_own_kernel() -> None:
    plan = EpisodePlan(torch.tensor([[True, False, True]]))
    device = torch.device("cpu")
    of_lstm = plan.layout(device, learned=False)
    assert plan.layout(device, learned=False, cell="gru") is not of_lstm
    assert plan.layout(device, learned=False, cell="lstm") is of_lstm
