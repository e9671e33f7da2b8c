"""The package makes no tensor on an unwanted device, tested where mixing devices is an error."""

import pytest
import torch

from tamiyo_rl import EpisodePlan, LSTMPolicyBundle
from tamiyo_rl.training import RolloutBuffer

STARTS = torch.tensor([[True, False, True, False], [False, True, True, False]])


@pytest.mark.clause("C1", "C10")
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_everything_stays_on_the_device_of_the_bundle(
    far_device: str, learned: bool, layers: int
) -> None:
    with torch.device(far_device):
        bundle = LSTMPolicyBundle(
            3, {"op": 2, "slot": 4}, learn_initial_hidden=learned, num_lstm_layers=layers
        )
    hidden = bundle.initial_hidden(2)
    masks = {"op": torch.ones(2, 2, dtype=torch.bool, device=far_device)}
    masks["slot"] = torch.ones(2, 4, dtype=torch.bool, device=far_device)
    features = torch.zeros(2, 3, device=far_device)
    step = bundle.get_action(features, masks, hidden, episode_starts=STARTS[:, 0])
    actions = {n: a.clone()[:, None].expand(-1, 4) for n, a in step.action.items()}
    sequence = features[:, None].expand(-1, 4, -1)
    for starts in (EpisodePlan(STARTS), STARTS):
        result = bundle.evaluate_actions(
            sequence, actions, hidden=step.hidden.clone(), episode_starts=starts
        )
        for tensor in (*hidden, *step.hidden, *result.hidden, result.value, result.joint_log_prob):
            assert tensor.device.type == far_device


@pytest.mark.clause("C6")
def test_the_buffer_lies_where_the_bundle_is(far_device: str) -> None:
    with torch.device(far_device):
        bundle = LSTMPolicyBundle(3, 2)
    buffer = RolloutBuffer(bundle, 2, 4, sequence_length=2)
    hidden = bundle.initial_hidden(2)
    never = torch.zeros(2, dtype=torch.bool)
    for t in range(4):
        features = torch.zeros(2, 3, device=far_device)
        step = bundle.get_action(features, hidden=hidden, episode_starts=STARTS[:, t])
        buffer.add(
            features,
            step,
            hidden=hidden,
            episode_starts=STARTS[:, t],
            rewards=[1.0, 1.0],
            terminated=never,
            truncated=never,
        )
    buffer.finish(step.value, gamma=0.9, gae_lambda=0.9)
    for batch in buffer.minibatches(2):
        result = bundle.evaluate_actions(
            batch.features, batch.actions, hidden=batch.hidden, episode_starts=batch.plan
        )
        assert result.value.device.type == far_device
        assert batch.advantages.device.type == far_device
