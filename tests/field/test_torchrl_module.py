"""The recurrent modules of TorchRL and ours: the same outputs, states and gradients."""

from typing import Any

import pytest
import torch
from tensordict import TensorDict  # type: ignore[import-untyped]  # it ships no types
from tensordict.nn import (  # type: ignore[import-untyped]  # it ships no types
    TensorDictModule,
    TensorDictSequential,
)
from torchrl.envs import GymEnv, InitTracker, TransformedEnv
from torchrl.modules import GRUModule as TheirGRUModule
from torchrl.modules import LSTMModule as TheirLSTMModule
from torchrl.modules import set_recurrent_mode

from tamiyo_rl.integrations import torchrl as ours
from tamiyo_rl.integrations.torchrl import GRUModule, LSTMModule

pytestmark = pytest.mark.field

ROWS, STEPS, FEATURES, HIDDEN = 5, 12, 4, 8
KEYS = {"in_key": "observation", "out_key": "features"}
KINDS: dict[str, tuple[Any, Any]] = {
    "lstm": (LSTMModule, TheirLSTMModule),
    "gru": (GRUModule, TheirGRUModule),
}
CELL = pytest.mark.parametrize("cell", KINDS)
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "layers": {"num_layers": 2},
    "no biases": {"bias": False},
}


def make_modules(cell: str, **options: Any) -> tuple[Any, Any]:
    """Make ours and theirs, which begin with the same parameters."""
    modules = []
    for kind in KINDS[cell]:
        torch.manual_seed(0)
        modules.append(kind(FEATURES, HIDDEN, **KEYS, **options).to(torch.float64))
    return modules[0], modules[1]


def make_rows(layers: int, dtype: torch.dtype = torch.float64, rate: float = 0.2) -> TensorDict:
    """Make rows that continue episodes, and begin others, with the state that a rollout stores."""
    generator = torch.Generator().manual_seed(1)
    starts = torch.rand(ROWS, STEPS, 1, generator=generator) < rate
    state = torch.randn(2, ROWS, STEPS, layers, HIDDEN, generator=generator, dtype=dtype)
    h, c = state.tanh() * ~starts[..., None]  # the primer gives zeros where an episode begins
    return TensorDict(
        {
            "observation": torch.randn(ROWS, STEPS, FEATURES, generator=generator, dtype=dtype),
            "is_init": starts,
            "recurrent_state_h": h,
            "recurrent_state_c": c,
            "recurrent_state": h,
        },
        [ROWS, STEPS],
    )


@CELL
@pytest.mark.parametrize("name", OPTIONS)
def test_rows_give_what_the_original_gives(name: str, cell: str) -> None:
    own, their = make_modules(cell, **OPTIONS[name])
    rows = make_rows(OPTIONS[name].get("num_layers", 1))
    with set_recurrent_mode(True):
        got, expected = own(rows.clone()), their(rows.clone())
    torch.testing.assert_close(got["features"], expected["features"], atol=1e-12, rtol=0)
    for key in own.out_keys[1:]:
        torch.testing.assert_close(got[key][:, -1], expected[key][:, -1], atol=1e-12, rtol=0)
    for result in (got, expected):
        result["features"].square().sum().backward()
    for one, other in zip(own.parameters(), their.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-10, rtol=0)


@pytest.mark.parametrize("shape", [(STEPS,), (1, ROWS, STEPS)])
def test_any_number_of_batch_dimensions_goes(shape: tuple[int, ...]) -> None:
    own, _ = make_modules("lstm")
    rows = make_rows(1)
    with set_recurrent_mode(True):
        expected = own(rows.clone())["features"]
        got = own(rows[0] if len(shape) == 1 else rows.reshape(shape))
    assert got.shape == torch.Size(shape)
    torch.testing.assert_close(
        got["features"].reshape(-1, STEPS, HIDDEN), expected[: got.numel() // STEPS]
    )


@CELL
def test_a_rollout_of_an_environment_is_the_original_one(cell: str) -> None:
    returned = []
    for kind in KINDS[cell]:
        torch.manual_seed(0)
        lstm = kind(4, HIDDEN, **KEYS)
        head = TensorDictModule(torch.nn.Linear(HIDDEN, 2), ["features"], ["logits"])
        act = TensorDictModule(
            lambda logits: torch.nn.functional.one_hot(logits.argmax(-1), 2), ["logits"], ["action"]
        )
        env = TransformedEnv(GymEnv("CartPole-v1"), InitTracker())
        env.append_transform(lstm.make_tensordict_primer())
        env.set_seed(0)
        policy = TensorDictSequential(lstm, head, act)
        with torch.no_grad():
            rollout = env.rollout(40, policy, break_when_any_done=False)
        with set_recurrent_mode(True):
            trained = lstm(rollout.clone())
        torch.testing.assert_close(trained["features"], rollout["features"])
        returned.append(rollout["features"])
    assert returned[0].equal(returned[1])


def test_the_parameters_are_those_of_the_module_that_was_passed() -> None:
    lstm = torch.nn.LSTM(FEATURES, HIDDEN, batch_first=True)
    own = LSTMModule(lstm=lstm, **KEYS)
    assert own.lstm.weight_hh_l0 is lstm.weight_hh_l0
    assert own.state_dict().keys() == TheirLSTMModule(lstm=lstm, **KEYS).state_dict().keys()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"python_based": True}, "python_based: expected False, got True"),
        ({"recurrent_backend": "scan"}, "recurrent_backend: expected 'pad', got 'scan'"),
        ({"bidirectional": True}, "bidirectional: expected False, got True"),
        ({"proj_size": 2}, "proj_size: expected 0, got 2"),
    ],
)
def test_what_is_not_supported_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        LSTMModule(FEATURES, HIDDEN, **KEYS, **options)


def test_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "TESTED", "0.1.")
    with pytest.raises(ImportError, match=r"torchrl: expected version 0\.1\.x, .*, got 0\.14\.1"):
        LSTMModule(FEATURES, HIDDEN, **KEYS)
