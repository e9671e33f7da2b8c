"""The errors of the LSTM, the GRU and their plan: each says what was expected and what came."""

from collections.abc import Callable

import pytest
import torch

from tamiyo_rl import EpisodePlan, EpisodicGRU, EpisodicLSTM

STARTS = torch.zeros(2, 5, dtype=torch.bool)
INPUTS = torch.zeros(2, 5, 4)
STATE = torch.zeros(1, 2, 8)
ROW = torch.tensor([2], device="cpu")


def run(inputs: object = INPUTS, hidden: object = None) -> object:
    return EpisodicLSTM(4, 8, batch_first=True)(inputs, hidden, episode_starts=STARTS)


def run_gru(inputs: object = INPUTS, hidden: object = None) -> object:
    return EpisodicGRU(4, 8, batch_first=True)(inputs, hidden, episode_starts=STARTS)


CASES: list[tuple[Callable[[], object], str]] = [
    (
        lambda: EpisodicLSTM(4, 8, bidirectional=True, learn_initial_state=True),
        (
            "learn_initial_state: expected False with bidirectional or proj_size, got True. A "
            "learned initial state is written as a plain, one-directional LSTM state."
        ),
    ),
    (
        lambda: run(INPUTS[0]),
        (
            "episode_starts: expected None with packed or unbatched inputs, bidirectional or "
            "proj_size. Pass padded, batched inputs to a plain LSTM to use episode starts."
        ),
    ),
    (
        lambda: run(torch.zeros(2, 6, 4)),
        "episode_starts: expected [B, T] = [2, 6] as the input has, got [2, 5].",
    ),
    (lambda: run(INPUTS[..., :3]), "input: expected 4 features, the input_size, got 3."),
    (lambda: run([[0.0]]), "input: expected a tensor, got list of 1."),
    (
        lambda: run(hidden=(STATE, STATE[0])),
        "hx: expected c of [layers, B, hidden] = [1, 2, 8], got [2, 8].",
    ),
    (lambda: run(hidden=(STATE,)), "hx: expected a pair (h, c), got tuple of 1."),
    (lambda: run(hidden=(STATE, None)), "hx: expected c to be a tensor, got None."),
    (
        lambda: EpisodePlan([True, False]),  # type: ignore[arg-type]  # not a tensor
        (
            "episode_starts: expected a bool tensor [B, T] of at least one step, got list of shape "
            "None and None."
        ),
    ),
    (
        lambda: EpisodePlan(STARTS.float()),
        (
            "episode_starts: expected a bool tensor [B, T] of at least one step, got Tensor of "
            "shape [2, 5] and torch.float32."
        ),
    ),
    (
        lambda: EpisodicGRU(4, 8, bidirectional=True, learn_initial_state=True),
        (
            "learn_initial_state: expected False with bidirectional or proj_size, got True. A "
            "learned initial state is written as a plain, one-directional GRU state."
        ),
    ),
    (
        lambda: run_gru(INPUTS[0]),
        (
            "episode_starts: expected None with packed or unbatched inputs, bidirectional or "
            "proj_size. Pass padded, batched inputs to a plain GRU to use episode starts."
        ),
    ),
    (
        lambda: run_gru(hidden=STATE[0]),
        "hx: expected h of [layers, B, hidden] = [1, 2, 8], got [2, 8].",
    ),
    (lambda: run_gru(hidden=(STATE, STATE)), "hx: expected a tensor, got tuple of 2."),
    (
        lambda: EpisodePlan(STARTS).rows([0]),  # type: ignore[arg-type]  # not a tensor
        "index: expected an int64 tensor [b] of rows from 0 to 1, got [0].",
    ),
    (
        lambda: EpisodePlan(STARTS).rows(ROW),
        "index: expected an int64 tensor [b] of rows from 0 to 1, got tensor([2]).",
    ),
]
MESSAGES = [message for _, message in CASES]


@pytest.mark.parametrize(("call", "message"), CASES, ids=MESSAGES)
def test_message(call: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert str(caught.value) == message
