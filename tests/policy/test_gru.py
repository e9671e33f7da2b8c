"""A policy whose memory is a GRU: a state without a cell state, everywhere that states go."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tamiyo_rl import EpisodicGRU, HiddenState, InferenceTensorWarning, LSTMPolicyBundle
from tamiyo_rl.training import (
    FeatureNormalizer,
    PPOConfig,
    RecurrentPPO,
    RolloutBuffer,
    load_checkpoint,
    load_policy,
    make_envs,
    save_checkpoint,
    save_policy,
)

FEATURES = torch.linspace(-1, 1, 3 * 6 * 4).view(3, 6, 4)
ACTIONS = {"action": torch.zeros(3, 6, dtype=torch.long)}
STARTS = torch.zeros(3, 6, dtype=torch.bool)
STARTS[:, 0] = STARTS[1, 2] = STARTS[2, 5] = True


def make_bundle(**settings: Any) -> LSTMPolicyBundle:
    torch.manual_seed(0)
    return LSTMPolicyBundle(4, 3, **{"hidden_dim": 8, "cell": "gru", **settings})


def make_trainer(cell: Any = "gru") -> RecurrentPPO:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=8, cell=cell, critic="separate")
    config = PPOConfig(total_steps=64, num_steps=16, sequence_length=8, num_minibatches=1, epochs=1)
    return RecurrentPPO(make_envs(num_envs=2), bundle, config)


@pytest.mark.clause("C1")
@pytest.mark.parametrize("critic", ["shared", "separate"])
def test_a_state_has_no_cell_state(critic: str) -> None:
    bundle = make_bundle(critic=critic, num_lstm_layers=2)
    layers = 4 if critic == "separate" else 2
    results = [
        bundle.initial_hidden(3),
        bundle.get_action(FEATURES[:, 0]).hidden,
        bundle.evaluate_actions(FEATURES, ACTIONS).hidden,
    ]
    for state in (*results, results[0].clone()):
        assert state.h.shape == (layers, 3, 8)
        assert state.c is None
        assert state.parts == (state.h,)
    assert all(isinstance(core, EpisodicGRU) for core in bundle._module.cores)


@pytest.mark.clause("C4")
def test_the_warning_names_the_part_that_is_there() -> None:
    bundle = make_bundle()
    with pytest.warns(InferenceTensorWarning, match=r"hidden\.h from LSTMPolicyBundle"):
        bundle.evaluate_actions(
            FEATURES, ACTIONS, hidden=bundle.initial_hidden(3), episode_starts=STARTS
        )


@pytest.mark.clause("C10")
@pytest.mark.parametrize("call", ["step", "rows"])
def test_the_state_of_an_lstm_is_refused_by_name(call: str) -> None:
    bundle = make_bundle()
    state = HiddenState(torch.zeros(1, 3, 8), torch.zeros(1, 3, 8))
    calls: dict[str, Callable[[], object]] = {
        "step": lambda: bundle.get_action(FEATURES[:, 0], hidden=state),
        "rows": lambda: bundle.evaluate_actions(FEATURES, ACTIONS, hidden=state),
    }
    with pytest.raises(TypeError) as caught:
        calls[call]()
    assert str(caught.value) == (
        'hidden.c: expected None, since the cell is "gru", got a tensor of [1, 3, 8]. Pass '
        "HiddenState(h)."
    )


@pytest.mark.clause("C10")
def test_the_state_of_a_gru_is_refused_by_an_lstm() -> None:
    bundle = make_bundle(cell="lstm")
    with pytest.raises(TypeError, match=r"hidden\.c: expected a torch\.Tensor"):
        bundle.get_action(FEATURES[:, 0], hidden=HiddenState(torch.zeros(1, 3, 8)))


@pytest.mark.clause("C6")
def test_a_buffer_refuses_the_state_of_an_lstm() -> None:
    bundle = make_bundle()
    buffer = RolloutBuffer(bundle, 3, 2)
    state = HiddenState(torch.zeros(1, 3, 8), torch.zeros(1, 3, 8))
    with pytest.raises(TypeError, match="hidden: expected the state before the step"):
        buffer.add(
            FEATURES[:, 0],
            bundle.get_action(FEATURES[:, 0]),
            hidden=state,
            episode_starts=STARTS[:, 0],
            rewards=torch.zeros(3),
            terminated=STARTS[:, 1],
            truncated=STARTS[:, 1],
        )


@pytest.mark.clause("C11")
def test_a_saved_policy_is_built_as_it_was(tmp_path: Path) -> None:
    bundle = make_bundle(learn_initial_hidden=True)
    save_policy(tmp_path / "policy.pt", bundle, FeatureNormalizer(4))
    loaded = load_policy(tmp_path / "policy.pt").bundle
    assert loaded.settings() == bundle.settings()
    assert loaded.forward(FEATURES).value.equal(bundle.forward(FEATURES).value)


@pytest.mark.clause("C11")
def test_a_state_dict_of_an_lstm_is_refused_whole() -> None:
    bundle = make_bundle()
    with pytest.raises(ValueError, match="state_dict: expected what state_dict"):
        bundle.load_state_dict(make_bundle(cell="lstm").state_dict())


@pytest.mark.clause("C11")
def test_the_state_dict_of_an_nn_gru_loads_into_the_core() -> None:
    core = make_bundle()._module.core
    core.load_state_dict(torch.nn.GRU(4, 8).state_dict(), strict=True)


def test_a_checkpoint_of_an_lstm_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, make_trainer("lstm"))
    with pytest.raises(
        ValueError, match="bundle: expected cell=lstm as when it was saved, got gru"
    ):
        load_checkpoint(path, make_trainer())


def test_a_resumed_training_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    whole = make_trainer()
    reports = whole.train()
    next(reports)
    path = save_checkpoint(tmp_path, whole)
    rest = list(reports)
    resumed = make_trainer()
    load_checkpoint(path, resumed)
    assert list(resumed.train()) == rest


def test_a_bad_cell_is_named() -> None:
    with pytest.raises(ValueError, match="cell: expected") as caught:
        make_bundle(cell="rnn")
    assert str(caught.value) == 'cell: expected "lstm" or "gru", got \'rnn\'.'


def test_a_network_with_an_lstm_is_refused() -> None:
    bundle = make_bundle()
    with pytest.raises(ValueError, match=r"network: expected cell=gru .* got lstm"):
        bundle.network = make_bundle(cell="lstm").network


def test_the_update_gates_begin_open() -> None:
    plain = torch.nn.GRU(4, 8)
    torch.manual_seed(0)
    core = make_bundle()._module.core
    torch.manual_seed(0)
    plain.reset_parameters()
    moved = core.bias_ih_l0 - plain.bias_ih_l0  # type: ignore[operator]  # both are parameters
    assert moved.tolist() == pytest.approx([0.0] * 8 + [1.0] * 8 + [0.0] * 8, abs=1e-6)
