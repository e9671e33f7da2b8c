"""The task of pure memory pays for memory."""

import numpy as np
import pytest
from benchmarks.ablation.delayed_recall import DELAY, DelayedRecall


@pytest.mark.parametrize("right", [True, False])
def test_recall_pays_for_the_cue_when_it_is_asked_for(right: bool) -> None:
    env = DelayedRecall()
    observation, _ = env.reset(seed=0)
    cue = int(observation.argmax())
    rewards: list[float] = []
    ended = False
    while not ended:
        assert len(rewards) <= DELAY
        observation, reward, ended, _, _ = env.step(np.int64(cue if right else (cue + 1) % 4))
        rewards.append(reward)
    assert rewards == [0.0] * DELAY + [float(right)]
