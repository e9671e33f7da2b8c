"""Running statistics: bit for bit those of Gymnasium, which take more time."""

import numpy as np
import pytest
from gymnasium.wrappers.utils import RunningMeanStd

from tamiyo_rl.training.rollout.statistics import RunningStatistics


@pytest.mark.parametrize("shape", [(), (3,)])
def test_statistics_are_those_of_gymnasium(shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    ours = RunningStatistics(shape)
    theirs = RunningMeanStd(shape=shape)
    for count in (8, 1, 64):
        rows = random.normal(3.0, 10.0, (count, *shape))
        ours.update(rows)
        theirs.update(rows)
    assert np.array_equal(ours.mean, theirs.mean)
    assert np.array_equal(ours.var, theirs.var)
    assert ours.count == theirs.count
    assert np.array_equal(ours.deviation, np.sqrt(theirs.var + 1e-8))
