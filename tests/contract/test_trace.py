"""The tracer names the line that made a tensor, and keeps nothing alive."""

import copy
import gc
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from tensordict import TensorDict  # type: ignore[import-untyped]  # it ships no types
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader

from tamiyo_rl import InferenceTensorWarning, LSTMPolicyBundle, trace_crossings

pytestmark = pytest.mark.clause("C4")


@torch.inference_mode()
def rollout_state(size: int = 3) -> torch.Tensor:
    return torch.zeros(1, size, 8)  # the line that the notes must name


def note_of(caught: pytest.ExceptionInfo[RuntimeError]) -> str:
    (note,) = caught.value.__notes__
    return str(note)


def test_the_note_of_an_lstm_names_operation_argument_and_line() -> None:
    core = nn.LSTM(4, 8)
    with trace_crossings(), pytest.raises(RuntimeError, match="cannot be saved") as caught:
        core(torch.zeros(5, 3, 4), (rollout_state(), torch.zeros(1, 3, 8)))
    note = note_of(caught)
    assert note.startswith("torch.lstm() was given inference tensors at ")
    assert "argument [1][0] [1, 3, 8]" in note
    assert "argument [1][1]" not in note
    assert "test_trace.py" in note
    assert "in rollout_state, called at contract/test_trace.py:" in note
    assert "\n        return torch.zeros(1, size, 8)" in note


@pytest.mark.parametrize("view", ["detach", "index", "transpose", "chain"])
def test_views_are_traced_to_the_tensor_they_show(view: str) -> None:
    views = {
        "detach": lambda state: state.detach(),
        "index": lambda state: state[0],
        "transpose": lambda state: state.transpose(0, 1),
        "chain": lambda state: state[0].detach().reshape(3, 8),
    }
    with trace_crossings(), pytest.raises(RuntimeError) as caught:
        nn.Linear(8, 2)(views[view](rollout_state()))
    note = note_of(caught)
    assert "in rollout_state" in note
    assert note.count("\n    then by") == (3 if view == "chain" else 1)


def test_a_computed_tensor_is_made_where_it_is_computed() -> None:
    with trace_crossings():
        state = rollout_state()
        with torch.inference_mode():
            computed = state.add(1)
        with pytest.raises(RuntimeError) as caught:
            nn.Linear(8, 2)(computed)
    assert "made by torch.Tensor.add() at" in note_of(caught)
    assert "computed = state.add(1)" in note_of(caught)


def test_an_in_place_write_gets_a_note() -> None:
    with trace_crossings(), pytest.raises(RuntimeError, match="Inplace update") as caught:
        rollout_state()[0, 0] = 1.0
    assert "in rollout_state" in note_of(caught)


def test_collation_in_inference_mode_is_followed() -> None:
    samples: Any = [torch.zeros(8) for _ in range(3)]
    with trace_crossings():
        with torch.inference_mode():
            (batch,) = DataLoader(samples, batch_size=3)
        with pytest.raises(RuntimeError) as caught:
            nn.Linear(8, 2)(batch)
    assert "test_collation_in_inference_mode_is_followed" in note_of(caught)


def test_a_tensor_of_before_is_named_without_a_line() -> None:
    state = rollout_state()
    with trace_crossings(), pytest.raises(RuntimeError) as caught:
        nn.Linear(8, 2)(state)
    assert "  trace_crossings() did not see it made" in note_of(caught)


def test_a_view_of_a_tensor_of_before_is_not_called_its_making() -> None:
    state = rollout_state()
    with trace_crossings(), pytest.raises(RuntimeError) as caught:
        nn.Linear(8, 2)(state.detach()[0])
    note = note_of(caught)
    assert "trace_crossings() did not see it made\n    then by torch.Tensor.detach() at" in note
    assert "    made by" not in note


def test_a_write_into_a_tensor_of_before_is_not_called_its_making() -> None:
    state = rollout_state()
    with trace_crossings():
        with torch.inference_mode():
            state.add_(1.0)
        with pytest.raises(RuntimeError) as caught:
            nn.Linear(8, 2)(state)
    assert note_of(caught).endswith("[1, 3, 8]\n    trace_crossings() did not see it made")


def test_a_warning_about_a_tensor_of_before_has_no_line() -> None:
    bundle = LSTMPolicyBundle(4, 2)
    hidden = bundle.initial_hidden(3)
    actions = {"action": torch.zeros(3, 1, dtype=torch.long)}
    with trace_crossings(), pytest.warns(InferenceTensorWarning, match="initial_hidden") as caught:
        bundle.evaluate_actions(torch.zeros(3, 1, 4), actions, hidden=hidden)
    assert "made by" not in str(caught[0].message)


COPIES: dict[str, Callable[[], torch.Tensor]] = {
    "a module": lambda: copy.deepcopy(nn.Linear(8, 2)).weight,
    "a tensor": lambda: copy.deepcopy(torch.zeros(2, 8)),
    "a nesting": lambda: copy.deepcopy({"x": [torch.zeros(2, 8)]})["x"][0],
    "a TensorDict": lambda: TensorDict({"x": torch.zeros(2, 8)}, [2]).clone()["x"],
}


@pytest.mark.parametrize("what", COPIES)
def test_a_copy_is_made_at_the_line_of_the_user(what: str) -> None:
    weight = torch.ones(2, 8, requires_grad=True)
    with trace_crossings():
        with torch.inference_mode():
            made = COPIES[what]()
        with pytest.raises(RuntimeError) as caught:
            made.detach() * weight
    note = note_of(caught)
    assert "made by torch.Tensor." in note
    assert f'        "{what}": lambda: ' in note


LIBRARY = """
def make():
    with inference_mode():
        return zeros(8)

def note(head):
    with trace_crossings():
        try:
            head(make())
        except RuntimeError as error:
            return error.__notes__[0]
"""


@pytest.mark.parametrize("is_called_by_user", [True, False])
def test_a_line_of_a_library_is_named_only_where_no_user_calls_it(is_called_by_user: bool) -> None:
    scope: dict[str, Any] = {"zeros": torch.zeros, "inference_mode": torch.inference_mode}
    scope |= {"trace_crossings": trace_crossings, "__name__": "library"}
    exec(compile(LIBRARY, "/lib/site-packages/library.py", "exec"), scope)  # noqa: S102 - our own code
    notes: list[str] = []
    head = nn.Linear(8, 2)
    if is_called_by_user:
        notes.append(scope["note"](head))
    else:
        with ThreadPoolExecutor() as pool:
            notes.append(pool.submit(scope["note"], head).result())
    place = "contract/test_trace.py" if is_called_by_user else "site-packages/library.py:4 in make"
    assert f"made by torch.zeros() at {place}" in notes[0]


def test_the_first_and_the_last_of_many_views_are_told() -> None:
    weight = torch.ones(3, requires_grad=True)
    with trace_crossings():
        state = rollout_state()[0, :, 0]
        for _ in range(3000):
            state = state.detach()
        with pytest.raises(RuntimeError) as caught:
            state * weight
    note = note_of(caught)
    assert "then by torch.Tensor.__getitem__() at" in note
    assert "\n    then by 2,995 more views\n" in note
    assert len(note) < 3000


def test_the_first_of_many_arguments_are_told() -> None:
    parts: list[torch.Tensor] = [torch.ones(1, requires_grad=True)]
    with trace_crossings():
        parts += [rollout_state()[0, 0, :1] for _ in range(1000)]
        with pytest.raises(RuntimeError) as caught:
            torch.einsum("a,a,a,a,a,a,a,a,a,a,a->a", *parts[:11])
    note = note_of(caught)
    assert note.endswith("\n  and 2 more")


def test_the_tracer_calls_no_method_of_a_subclass() -> None:
    calls: list[Any] = []

    class Logged(torch.Tensor):
        @classmethod
        def __torch_function__(
            cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            calls.append(func)
            return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]  # torch does not type it

    logged = torch.zeros(2).as_subclass(Logged)
    with trace_crossings():
        logged.add(1)
    assert calls == [torch.Tensor.add]


def test_other_errors_gain_no_note() -> None:
    with trace_crossings(), pytest.raises(RuntimeError) as caught:
        nn.Linear(8, 2)(torch.zeros(3, 7))
    assert not hasattr(caught.value, "__notes__")


def test_the_guard_tells_the_line_inside_the_context_only() -> None:
    bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
    features = torch.zeros(1, 3, 4)
    actions = {"action": torch.zeros(1, 3, dtype=torch.long)}
    for traced in (True, False):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if traced:
                with trace_crossings():
                    bundle.evaluate_actions(features, actions, hidden=bundle.initial_hidden())
            else:
                bundle.evaluate_actions(features, actions, hidden=bundle.initial_hidden())
        assert caught[0].category is InferenceTensorWarning
        assert ("test_trace.py" in str(caught[0].message)) is traced


def test_no_tensor_is_kept_alive() -> None:
    with trace_crossings():
        state = rollout_state()
        gone = weakref.ref(state)
        view = state[0]
        del state
        gc.collect()
        assert gone() is None
        with pytest.raises(RuntimeError) as caught:
            nn.Linear(8, 2)(view)
    assert "in rollout_state" in note_of(caught)


def test_results_are_those_without_the_tracer() -> None:
    torch.manual_seed(0)
    core = nn.LSTM(4, 8)
    features = torch.randn(5, 3, 4)
    plain = core(features)[0]
    with trace_crossings():
        traced = core(features)[0]
    assert torch.equal(plain, traced)


def test_a_tensor_that_is_written_to_keeps_the_line_that_made_it() -> None:
    with trace_crossings():
        state = rollout_state()
        with torch.inference_mode():
            state.add_(1.0)
        with pytest.raises(RuntimeError) as caught:
            nn.Linear(8, 2)(state)
    assert "in rollout_state" in note_of(caught)
    assert "add_" not in note_of(caught)


class Save(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(table)
        return inputs * 1


def load_into_what_inference_mode_made() -> None:
    with torch.inference_mode():
        made = nn.Linear(2, 2)
    made.load_state_dict(nn.Linear(2, 2).state_dict())


def save_in_a_function() -> None:
    table = rollout_state()
    Save.apply(torch.ones(1, 3, 8, requires_grad=True), table)  # type: ignore[no-untyped-call]  # it has no types


def multiply_in_compiled_code() -> None:
    table = rollout_state()
    compiled = torch.compile(lambda inputs: inputs * table, backend="aot_eager")
    compiled(torch.ones(1, 3, 8, requires_grad=True))


def multiply_in_a_checkpoint() -> None:
    table = rollout_state()
    inputs = torch.ones(1, 3, 8, requires_grad=True)
    checkpoint(lambda inputs: inputs * table, inputs, use_reentrant=True).sum().backward()


@pytest.mark.parametrize(
    ("fail", "name"),
    [
        (load_into_what_inference_mode_made, "made.weight"),
        (save_in_a_function, "table"),
        (multiply_in_compiled_code, "table"),
        (multiply_in_a_checkpoint, "table"),
    ],
)
def test_an_error_without_an_argument_tells_what_is_in_scope(
    fail: Callable[[], None], name: str
) -> None:
    with pytest.raises(RuntimeError) as caught, trace_crossings():
        fail()
    note = note_of(caught)
    assert note.startswith("raised at contract/test_trace.py:")
    assert f"in its scope: {name} " in note
    assert "made by torch." in note


def modify_a_view() -> None:
    base = torch.ones(3, requires_grad=True).clone()
    with torch.inference_mode():
        view = base[:2]
    view.add_(1)


@pytest.mark.parametrize(
    ("fail", "text"),
    [
        (lambda: rollout_state().requires_grad_(), "argument [0]"),
        (lambda: rollout_state()._version, "argument [0]"),
        (modify_a_view, "no inference tensor is in its scope"),
        (lambda: rollout_state().sum().backward(), "no inference tensor is in its scope"),
    ],
)
def test_the_other_texts_of_the_fault_have_a_note(fail: Callable[[], Any], text: str) -> None:
    with pytest.raises(RuntimeError) as caught, trace_crossings():
        fail()
    assert text in note_of(caught)
    assert "test_trace.py" in note_of(caught)


def test_the_callers_of_the_users_line_are_told() -> None:
    def inner() -> torch.Tensor:
        return rollout_state()

    with trace_crossings(), pytest.raises(RuntimeError) as caught:
        nn.Linear(8, 2)(inner())
    (line,) = [line for line in note_of(caught).splitlines() if "made by" in line]
    assert line.count("called at contract/test_trace.py:") == 2
