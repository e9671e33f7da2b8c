"""Running normalisation of features and rewards, with statistics that can be saved."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.wrappers.utils import RunningMeanStd
from numpy.typing import NDArray

CLIP = 10.0
EPSILON = 1e-8


class FeatureNormalizer:
    """Shifts and scales features to zero mean and unit variance, by running statistics.

    Args:
        feature_dim: Features of one step, F.

    Examples:
        ```python
        import torch
        from tamiyo_rl.training import FeatureNormalizer

        normalizer = FeatureNormalizer(1)
        features = torch.tensor([[1.0], [3.0]])
        normalizer.update(features)
        print([round(x, 2) for x in normalizer(features).flatten().tolist()])
        ```

        ```text
        [-1.0, 1.0]
        ```
    """

    def __init__(self, feature_dim: int) -> None:
        self._statistics = RunningMeanStd(shape=(feature_dim,), dtype=np.float64)

    def update(self, features: torch.Tensor) -> None:
        """Take features `[B, F]` into the statistics."""
        self._statistics.update(features.cpu().numpy())

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise features `[B, F]`, clipped to 10 standard deviations."""
        mean, std = self._statistics.mean, np.sqrt(self._statistics.var + EPSILON)
        shift, scale = (torch.as_tensor(x).to(features) for x in (mean, std))
        return ((features - shift) / scale).clamp(-CLIP, CLIP)

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics."""
        return _state(self._statistics)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        _load(self._statistics, state)


class RewardScaler:
    """Scales rewards by the standard deviation of the discounted return (never shifts them).

    Without a reward scale the value loss drowns the policy loss. The scale is the one of
    Engstrom et al. 2020, arXiv:2005.12729, section 3.

    Args:
        num_envs: Environments.
        gamma: Discount factor.

    Examples:
        ```python
        import numpy as np
        from tamiyo_rl.training import RewardScaler

        scaler = RewardScaler(num_envs=2, gamma=0.9)
        never = np.zeros(2, dtype=bool)
        for _ in range(50):
            scaled = scaler(np.array([1.0, 3.0]), never, ~never)
        print(bool((scaled < 1.0).all()))
        ```

        ```text
        True
        ```
    """

    def __init__(self, num_envs: int, gamma: float) -> None:
        self._statistics = RunningMeanStd(shape=(), dtype=np.float64)
        self._returns = np.zeros(num_envs)
        self._gamma = gamma

    def __call__(
        self, rewards: NDArray[Any], ended: NDArray[np.bool_], valid: NDArray[np.bool_]
    ) -> NDArray[Any]:
        """Scale rewards `[B]`, taking the valid ones into the statistics."""
        self._returns = np.where(valid, self._returns * self._gamma + rewards, self._returns)
        if valid.any():
            self._statistics.update(self._returns[valid])
        self._returns = np.where(ended, 0.0, self._returns)
        return np.clip(rewards / np.sqrt(self._statistics.var + EPSILON), -CLIP, CLIP)

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics."""
        return _state(self._statistics)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        _load(self._statistics, state)


def _state(statistics: RunningMeanStd) -> dict[str, Any]:
    return {
        "mean": torch.as_tensor(statistics.mean).clone(),
        "var": torch.as_tensor(statistics.var).clone(),
        "count": float(statistics.count),
    }


def _load(statistics: RunningMeanStd, state: dict[str, Any]) -> None:
    statistics.mean, statistics.var = state["mean"].numpy(), state["var"].numpy()
    statistics.count = state["count"]
