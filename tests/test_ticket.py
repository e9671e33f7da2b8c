"""Requirements of ticket B10-PT-01 and of related tickets, each by name."""

import pytest
import torch

from tamiyo_rl import InferenceTensorWarning, LSTMPolicyBundle

FEATURES = torch.ones(2, 4, 3)
ACTIONS = {"action": torch.zeros(2, 4, dtype=torch.long)}
INITIAL = ("core.initial_cell", "core.initial_output")


def make_bundle(*, learned: bool) -> LSTMPolicyBundle:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(3, 2, hidden_dim=8, learn_initial_hidden=learned)
    if learned:
        with torch.no_grad():
            dict(bundle.named_parameters())["core.initial_cell"].normal_()
    return bundle


def gradient_of_initial_state(bundle: LSTMPolicyBundle) -> float:
    parameters = dict(bundle.named_parameters())
    gradients = [parameters[name].grad for name in INITIAL]
    return sum(g.abs().sum().item() for g in gradients if g is not None)


@pytest.mark.clause("C1", "C4")
def test_raw_initial_hidden_contributes_no_gradient_and_warns() -> None:
    bundle = make_bundle(learned=False)
    state = bundle.initial_hidden(2)
    with pytest.warns(InferenceTensorWarning, match="initial_hidden"):
        result = bundle.evaluate_actions(FEATURES, ACTIONS, hidden=state)
    result.value.sum().backward()
    assert state.h.grad is None
    assert not state.h.requires_grad


@pytest.mark.clause("C1")
def test_cloned_initial_hidden_contributes_no_gradient() -> None:
    bundle = make_bundle(learned=False)
    state = bundle.initial_hidden(2).clone()
    bundle.evaluate_actions(FEATURES, ACTIONS, hidden=state).value.sum().backward()
    assert state.h.grad is None
    assert not state.h.requires_grad


@pytest.mark.clause("C3")
def test_learned_initial_state_trains_by_hidden_none() -> None:
    bundle = make_bundle(learned=True)
    bundle.evaluate_actions(FEATURES, ACTIONS).value.sum().backward()
    assert gradient_of_initial_state(bundle) > 0


@pytest.mark.clause("C5")
def test_learned_initial_state_does_not_train_by_way_of_initial_hidden() -> None:
    bundle = make_bundle(learned=True)
    starts = torch.zeros(2, 4, dtype=torch.bool)
    hidden = bundle.initial_hidden(2).clone()
    result = bundle.evaluate_actions(FEATURES, ACTIONS, hidden=hidden, episode_starts=starts)
    result.value.sum().backward()
    assert gradient_of_initial_state(bundle) == 0


@pytest.mark.clause("C5")
@pytest.mark.parametrize("start", [0, 2])
def test_learned_initial_state_trains_where_an_episode_starts(start: int) -> None:
    bundle = make_bundle(learned=True)
    starts = torch.zeros(2, 4, dtype=torch.bool)
    starts[1, start] = True
    hidden = bundle.initial_hidden(2).clone()
    result = bundle.evaluate_actions(FEATURES, ACTIONS, hidden=hidden, episode_starts=starts)
    result.value.sum().backward()
    assert gradient_of_initial_state(bundle) > 0


@pytest.mark.clause("C1", "C2")
def test_the_marker_names_the_method() -> None:
    bundle = make_bundle(learned=False)
    step = bundle.get_action(FEATURES[:, 0])
    value = bundle.get_value(FEATURES[:, 0])
    for tensor, method in (
        (bundle.initial_hidden().c, "initial_hidden"),
        (step.hidden.h, "get_action"),
        (step.log_prob["action"], "get_action"),
        (value, "get_value"),
    ):
        assert tensor._inference_mode_created == f"LSTMPolicyBundle.{method}"  # type: ignore[attr-defined]  # the marker, as the ticket names it


@pytest.mark.clause("C4")
def test_hidden_of_get_action_gets_its_own_remedy() -> None:
    bundle = make_bundle(learned=False)
    hidden = bundle.get_action(FEATURES[:, 0]).hidden
    with pytest.warns(InferenceTensorWarning, match=r"get_action\n.*\n.*RolloutBuffer"):
        bundle.evaluate_actions(FEATURES, ACTIONS, hidden=hidden)


@pytest.mark.clause("C4")
def test_actions_of_get_action_lose_nothing() -> None:
    bundle = make_bundle(learned=False)
    action = bundle.get_action(FEATURES[:, 0]).action["action"]
    with pytest.warns(InferenceTensorWarning, match="lost: nothing"):
        bundle.evaluate_actions(FEATURES[:, :1], {"action": action[:, None]})


@pytest.mark.clause("C5")
def test_a_copy_cannot_stand_in_for_a_learned_initial_state() -> None:
    bundle = make_bundle(learned=True)
    with pytest.raises(ValueError, match="episode_starts"):
        bundle.evaluate_actions(FEATURES, ACTIONS, hidden=bundle.initial_hidden(2).clone())


@pytest.mark.clause("C2")
def test_a_loss_from_the_rollout_cannot_be_differentiated() -> None:
    bundle = make_bundle(learned=False)
    step = bundle.get_action(FEATURES[:, 0])
    for rollout in (step.joint_log_prob, step.value, bundle.get_value(FEATURES[:, 0])):
        with pytest.raises(RuntimeError, match="does not require grad"):
            rollout.mean().backward()


def test_the_correct_pattern_is_documented_on_the_class() -> None:
    documentation = LSTMPolicyBundle.__doc__ or ""
    assert ">>> evaluation = bundle.evaluate_actions(" in documentation
    assert "`evaluate_actions` with `hidden=None`" in documentation
