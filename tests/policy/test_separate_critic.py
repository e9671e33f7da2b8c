"""A critic with an LSTM of its own, and layers between an LSTM and the outputs."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tamiyo_rl import HiddenState, LSTMPolicyBundle
from tamiyo_rl.policy import FactoredRecurrentActorCritic
from tamiyo_rl.training import (
    FeatureNormalizer,
    PPOConfig,
    RecurrentPPO,
    load_checkpoint,
    load_policy,
    make_envs,
    save_checkpoint,
    save_policy,
)

HEADS = {"op": 3, "slot": 5}
FEATURES = torch.linspace(-1, 1, 3 * 6 * 4).view(3, 6, 4)
STARTS = torch.zeros(3, 6, dtype=torch.bool)
STARTS[:, 0] = STARTS[1, 2] = STARTS[2, 5] = True


def make_bundle(**settings: Any) -> LSTMPolicyBundle:
    torch.manual_seed(0)
    return LSTMPolicyBundle(
        4, HEADS, **{"hidden_dim": 8, "critic": "separate", "head_dims": [7, 5], **settings}
    )


def make_trainer(**settings: Any) -> RecurrentPPO:
    torch.manual_seed(0)
    envs = make_envs(num_envs=2)
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space, envs.single_action_space, hidden_dim=8, **settings
    )
    config = PPOConfig(total_steps=64, num_steps=16, sequence_length=8, num_minibatches=1, epochs=1)
    return RecurrentPPO(envs, bundle, config)


def reached(bundle: LSTMPolicyBundle, output: torch.Tensor) -> set[str]:
    """Return the modules that get a gradient from an output."""
    output.sum().backward()
    return {
        name.partition(".")[0]
        for name, parameter in bundle.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }


@pytest.mark.clause("C1")
def test_the_layers_of_the_critic_follow_those_of_the_policy() -> None:
    bundle = make_bundle(num_lstm_layers=2, learn_initial_hidden=True)
    network = bundle.network
    assert isinstance(network, FactoredRecurrentActorCritic)
    assert network.critic_core is not None
    torch.nn.init.ones_(network.critic_core.initial_cell)  # type: ignore[arg-type]  # it is learned
    state = bundle.initial_hidden(3)
    assert state.c.shape == (4, 3, 8)
    assert not state.c[:2].any()
    assert state.c[2:].all()


def test_each_loss_trains_its_own_memory() -> None:
    for name, expected in (
        ("joint_log_prob", {"core", "policy_head"}),
        ("value", {"critic_core", "value_head"}),
    ):
        bundle = make_bundle()
        actions = {head: torch.zeros(3, 6, dtype=torch.long) for head in HEADS}
        result = bundle.evaluate_actions(FEATURES, actions, episode_starts=STARTS)
        assert reached(bundle, getattr(result, name)) == expected


@pytest.mark.clause("C5")
def test_both_memories_continue_and_reset() -> None:
    bundle = make_bundle()
    state = HiddenState(torch.rand(2, 3, 8), torch.rand(2, 3, 8))
    for layer, name in ((0, "logits"), (1, "value")):
        other = state.clone()
        other.h[layer] += 1
        results = [
            bundle.forward(FEATURES, hidden=hidden, episode_starts=starts)
            for hidden in (state, other)
            for starts in (STARTS, torch.zeros_like(STARTS))
        ]
        reset, continued, other_reset, other_continued = (
            torch.cat([result.logits["op"], result.logits["slot"], result.value[..., None]], -1)
            for result in results
        )
        assert reset.equal(other_reset)
        moved = (continued != other_continued).any(dim=(0, 1))
        assert moved[:-1].all() == (name == "logits")
        assert moved[-1] == (name == "value")


@pytest.mark.clause("C8")
@pytest.mark.parametrize("frozen", ["core", "critic_core"])
def test_one_frozen_memory_is_right(frozen: str) -> None:
    bundle = make_bundle()
    for name, parameter in bundle.named_parameters():
        parameter.requires_grad_(not name.startswith(f"{frozen}."))
    assert reached(bundle, bundle.forward(FEATURES).value) == {"critic_core", "value_head"} - {
        frozen
    }


@pytest.mark.clause("C11")
def test_a_state_dict_of_a_shared_critic_is_refused_whole() -> None:
    bundle = make_bundle()
    before = {name: tensor.clone() for name, tensor in bundle.state_dict().items()}
    with pytest.raises(ValueError, match=r"(?s)state_dict: expected .*critic_core"):
        bundle.load_state_dict(make_bundle(critic="shared").state_dict())
    assert all(tensor.equal(before[name]) for name, tensor in bundle.state_dict().items())


@pytest.mark.clause("C11")
def test_a_saved_policy_is_built_as_it_was(tmp_path: Path) -> None:
    bundle = make_bundle()
    save_policy(tmp_path / "policy.pt", bundle, FeatureNormalizer(4))
    loaded = load_policy(tmp_path / "policy.pt").bundle
    assert loaded.settings() == bundle.settings()
    assert loaded.forward(FEATURES).value.equal(bundle.forward(FEATURES).value)


def test_a_checkpoint_of_a_shared_critic_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, make_trainer())
    trainer = make_trainer(critic="separate")
    before = trainer.state_dict()
    with pytest.raises(
        ValueError, match="bundle: expected critic=shared as when it was saved, got separate"
    ):
        load_checkpoint(path, trainer)
    after = trainer.state_dict()["policy"]
    assert all(tensor.equal(after[name]) for name, tensor in before["policy"].items())


def test_a_resumed_training_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    whole = make_trainer(critic="separate", head_dims=[4])
    reports = whole.train()
    next(reports)
    path = save_checkpoint(tmp_path, whole)
    rest = list(reports)
    resumed = make_trainer(critic="separate", head_dims=[4])
    load_checkpoint(path, resumed)
    assert list(resumed.train()) == rest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"critic": "both"}, 'critic: expected "shared" or "separate", got \'both\'.'),
        ({"critic": None}, 'critic: expected "shared" or "separate", got None.'),
        ({"head_dims": 64}, "head_dims: expected a list of widths, such as [64], got 64."),
        ({"head_dims": [64, 0]}, "head_dims[1]: expected an int of at least 1, got 0."),
    ],
)
def test_a_bad_setting_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        make_bundle(**settings)
    assert str(caught.value) == message


def test_a_network_with_a_shared_critic_is_refused() -> None:
    bundle = make_bundle()
    network = make_bundle(critic="shared").network
    with pytest.raises(ValueError, match=r"network: expected critic=separate .* got shared"):
        bundle.network = network
