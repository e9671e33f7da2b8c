"""The tracer follows the threads that are started under it, and lets go of them."""

import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest
import torch
from torch import nn

from tamiyo_rl import LSTMPolicyBundle, trace_crossings

pytestmark = pytest.mark.clause("C4")
UNSEEN = "trace_crossings() did not see it made"
START = threading.Thread.start


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    yield
    assert threading.Thread.start is START


@torch.inference_mode()
def make_state() -> torch.Tensor:
    return torch.zeros(2, 8)


def in_a_thread(make: Callable[[], Any]) -> Any:
    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(make()))
    thread.start()
    thread.join()
    assert "run" not in vars(thread)
    return made[0]


def in_a_subclass(make: Callable[[], Any]) -> Any:
    made: list[Any] = []

    class Worker(threading.Thread):
        def run(self) -> None:
            made.append(make())

    worker = Worker()
    worker.start()
    worker.join()
    return made[0]


def in_a_timer(make: Callable[[], Any]) -> Any:
    made: list[Any] = []
    timer = threading.Timer(0.0, lambda: made.append(make()))
    timer.start()
    timer.join()
    return made[0]


def in_an_executor(make: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor() as pool:
        return pool.submit(make).result()


def in_a_pool(make: Callable[[], Any]) -> Any:
    with ThreadPool(1) as pool:
        return pool.apply(make)


def in_a_thread_of_a_thread(make: Callable[[], Any]) -> Any:
    return in_a_thread(lambda: in_a_thread(make))


STARTS = [
    in_a_thread,
    in_a_subclass,
    in_a_timer,
    in_an_executor,
    in_a_pool,
    in_a_thread_of_a_thread,
]


def note_of_use(state: torch.Tensor) -> str:
    """Return the note of the error that a use raises."""
    with pytest.raises(RuntimeError) as caught:
        nn.Linear(8, 2)(state)
    (note,) = caught.value.__notes__
    return str(note)


@pytest.mark.parametrize("start", STARTS)
def test_what_a_thread_made_is_traced_to_its_line(start: Callable[..., torch.Tensor]) -> None:
    with trace_crossings():
        note = note_of_use(start(make_state))
    assert "made by torch.zeros() at contract/test_trace_threads.py" in note
    assert "in make_state" in note


@pytest.mark.parametrize("start", STARTS)
def test_right_code_in_a_thread_is_left_alone(start: Callable[..., torch.Tensor]) -> None:
    core = nn.Linear(8, 2)

    def gradient() -> torch.Tensor:
        (found,) = torch.autograd.grad(core(make_state().clone()).sum(), core.bias)
        return found

    with trace_crossings():
        found = start(gradient)
    assert found.tolist() == [2.0, 2.0]


def test_an_error_in_a_thread_has_a_note_where_it_is_caught() -> None:
    with trace_crossings(), ThreadPoolExecutor() as pool:
        notes = [pool.submit(lambda: note_of_use(make_state())).result()]
        notes.append(in_a_thread_of_a_thread(lambda: note_of_use(make_state())))
    assert all("in make_state" in note for note in notes)


class Opaque(torch.autograd.Function):
    """Fails below the operations that the tracer sees."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        msg = "Inference tensors do not track version counter."
        raise RuntimeError(msg)


@pytest.mark.parametrize("use", [nn.Linear(8, 2), Opaque.apply])
def test_an_error_that_leaves_a_thread_is_noted_once(
    use: Callable[[torch.Tensor], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", left.append)
    with trace_crossings():
        thread = threading.Thread(target=lambda: use(make_state()))
        thread.start()
        thread.join()
    (note,) = left[0].exc_value.__notes__
    assert "[2, 8]\n    made by torch.zeros() at contract/test_trace_threads.py" in note


def test_a_thread_warns_with_the_line_that_made_the_tensor() -> None:
    bundle = LSTMPolicyBundle(4, 2)

    def train() -> list[str]:
        hidden = bundle.initial_hidden(3)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            actions = {"action": torch.zeros(3, 1, dtype=torch.long)}
            bundle.evaluate_actions(torch.zeros(3, 1, 4), actions, hidden=hidden)
        return [str(warning.message) for warning in caught]

    with trace_crossings():
        (told,) = in_a_thread(train)
    assert "made by" in str(told)


def test_a_thread_that_was_started_before_is_not_followed() -> None:
    begin, made = threading.Event(), list[torch.Tensor]()

    def wait_and_make() -> None:
        begin.wait()
        made.append(make_state())

    thread = threading.Thread(target=wait_and_make)
    thread.start()
    with trace_crossings():
        begin.set()
        thread.join()
        assert note_of_use(made[0]).endswith(UNSEEN)


def test_a_thread_that_an_untraced_thread_starts_is_not_followed() -> None:
    begin, made = threading.Event(), list[torch.Tensor]()

    def wait_and_start() -> None:
        begin.wait()
        made.append(in_a_thread(make_state))

    thread = threading.Thread(target=wait_and_start)
    thread.start()
    with trace_crossings():
        begin.set()
        thread.join()
        assert note_of_use(made[0]).endswith(UNSEEN)


def test_a_thread_that_outlives_the_context_is_traced_no_more() -> None:
    inside, outside = threading.Event(), threading.Event()
    errors: list[RuntimeError] = []

    def use() -> None:
        try:
            nn.Linear(8, 2)(make_state())
        except RuntimeError as error:
            errors.append(error)

    def use_twice() -> None:
        use()
        inside.set()
        outside.wait()
        use()
        errors.append(RuntimeError(in_a_thread(make_state).shape))

    thread = threading.Thread(target=use_twice)
    with trace_crossings():
        thread.start()
        inside.wait()
    assert threading.Thread.start is START
    outside.set()
    thread.join()
    traced, untraced, _ = errors
    assert "in make_state" in traced.__notes__[0]
    assert not hasattr(untraced, "__notes__")


def test_nothing_stays_behind_after_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), trace_crossings():
        _ = 1 // 0
    assert threading.Thread.start is START


def test_tracers_in_and_beside_each_other_put_start_back_once() -> None:
    with trace_crossings():
        with trace_crossings():
            assert threading.Thread.start is not START
        assert "in make_state" in note_of_use(in_a_thread(make_state))

        def trace_there() -> torch.Tensor:
            with trace_crossings():
                return make_state()

        in_a_thread(trace_there)
        assert "in make_state" in note_of_use(in_a_thread(make_state))
    assert threading.Thread.start is START


def test_what_somebody_wrapped_since_stays() -> None:
    with trace_crossings():
        below = threading.Thread.start

        def theirs(thread: threading.Thread) -> None:
            below(thread)

        threading.Thread.start = theirs  # type: ignore[method-assign,assignment]
    try:
        assert threading.Thread.start is theirs
        assert in_a_thread(make_state).shape == (2, 8)
    finally:
        threading.Thread.start = START  # type: ignore[method-assign]


def test_a_second_start_is_refused_as_ever() -> None:
    with trace_crossings():
        thread = threading.Thread(target=make_state)
        thread.start()
        with pytest.raises(RuntimeError, match="can only be started once"):
            thread.start()
        thread.join()
        assert "run" not in vars(thread)


def test_a_thread_that_cannot_start_keeps_its_run() -> None:
    thread = threading.Thread(target=make_state)
    before = threading.stack_size(1 << 47)  # more than there are addresses
    try:
        with trace_crossings(), pytest.raises(RuntimeError, match="can't start new thread"):
            thread.start()
    finally:
        threading.stack_size(before)
    assert "run" not in vars(thread)


def test_a_run_of_the_instance_is_run_and_kept() -> None:
    made: list[Any] = []

    def run() -> None:
        made.append(make_state())

    thread = threading.Thread()
    thread.run = run  # type: ignore[method-assign]
    with trace_crossings():
        thread.start()
        thread.join()
        assert "in make_state" in note_of_use(made[0])
    assert vars(thread)["run"] is run
