"""Running normalisation of features and rewards, with statistics that can be saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tamiyo_rl.checks import require_positive, require_shape
from tamiyo_rl.training.checks import require_number
from tamiyo_rl.training.distributed import gather_rows
from tamiyo_rl.training.envs.returned import not_float32
from tamiyo_rl.training.rollout.statistics import RunningStatistics

CLIP = 10.0


class FeatureNormalizer:
    """Shifts and scales features to zero mean and unit variance, by running statistics.

    Args:
        feature_dim: Features of one step, F.
        enabled: Whether to normalise; if not, features pass as they are.

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

    def __init__(self, feature_dim: int, *, enabled: bool = True) -> None:
        require_positive(feature_dim=feature_dim)
        self.feature_dim = feature_dim
        self.enabled = enabled
        self._statistics = RunningStatistics((feature_dim,))

    def update(self, features: torch.Tensor) -> None:
        """Take features `[B, F]` into the statistics: those of all processes, in each.

        Raises:
            TypeError: If they are not a tensor.
            ValueError: If they have another shape, or are not finite in float32; nothing is taken
                in then.
        """
        checked = self._checked(features)
        if not self.enabled:
            return
        if checked.is_meta or not checked.shape[0]:
            raise ValueError(f"features: expected rows with values, got {features!r}.")
        values = checked.detach().to("cpu", torch.float64).numpy()
        _require_float32("features", values)
        self._statistics.update(gather_rows(values))

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise features `[B, F]`, clipped to 10 standard deviations."""
        features = self._checked(features)
        if not self.enabled:
            return features
        if features.dtype == torch.uint8:
            features = features.float()
        if features.is_cpu and features.dtype == torch.float32:
            return torch.from_numpy(self._normalized(features.detach().numpy()))
        shift = torch.from_numpy(self._statistics.mean).to(features)
        scale = torch.from_numpy(self._statistics.deviation).to(features)
        return (features - shift).div_(scale).clamp_(-CLIP, CLIP)

    def _normalized(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the same as PyTorch, which takes longer for so few numbers."""
        centred = features - self._statistics.mean.astype(np.float32)
        centred /= self._statistics.deviation.astype(np.float32)
        return np.minimum(np.maximum(centred, -CLIP, out=centred), CLIP, out=centred)

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics."""
        return {"enabled": self.enabled} | _state(self._statistics)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises:
            ValueError: If an entry is missing or of another shape; nothing changes then.
        """
        enabled = bool(_entry(state, "enabled", ()))
        _load(self._statistics, state)
        self.enabled = enabled

    def _checked(self, features: torch.Tensor) -> torch.Tensor:
        is_plain = type(features) is torch.Tensor and features.layout == torch.strided
        if not is_plain or features.is_nested or features.shape[1:] != (self.feature_dim,):
            require_shape("features", features, {"batch": None, "features": self.feature_dim})
        if not features.is_floating_point() and features.dtype != torch.uint8:
            raise TypeError(f"features: expected floating point or uint8, got {features.dtype}.")
        return features


class RewardScaler:
    """Scales rewards by the standard deviation of the discounted return (never shifts them).

    Without a reward scale the value loss drowns the policy loss. The scale is the one of
    Engstrom et al. 2020, arXiv:2005.12729, section 3.

    Args:
        num_envs: Environments, B.
        gamma: Discount factor.
        enabled: Whether to scale; if not, rewards pass as they are.

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

    def __init__(self, num_envs: int, gamma: float, *, enabled: bool = True) -> None:
        require_positive(num_envs=num_envs)
        require_number("gamma", gamma, 0, 1)
        self.enabled = enabled
        self._statistics = RunningStatistics(())
        self._returns = np.zeros(num_envs)
        self._gamma = gamma

    def begin(self) -> None:
        """Begin new episodes."""
        self._returns = np.zeros_like(self._returns)

    def __call__(
        self, rewards: NDArray[Any], ended: NDArray[np.bool_], valid: NDArray[np.bool_]
    ) -> NDArray[Any]:
        """Scale rewards `[B]`, clipped to 10, taking the valid ones into the statistics.

        Args:
            rewards: `[B]`.
            ended: `[B]` bool, true where the step ended an episode.
            valid: `[B]` bool, false where the step only reset its environment.

        Raises:
            TypeError: If an argument holds something else than numbers or flags.
            ValueError: If an argument has another shape, or a reward is not finite in float32;
                nothing is taken in then.
        """
        shape = self._returns.shape
        numbers = _array("rewards", rewards, shape, "fiu")
        flags = _array("ended", ended, shape, "b"), _array("valid", valid, shape, "b")
        _require_float32("rewards", numbers)
        return self._scaled(numbers, *flags) if self.enabled else numbers

    def _scaled(
        self, rewards: NDArray[Any], ended: NDArray[np.bool_], valid: NDArray[np.bool_]
    ) -> NDArray[Any]:
        following = self._returns * self._gamma + rewards
        np.copyto(self._returns, following, where=valid)
        seen = gather_rows(self._returns)[gather_rows(valid)]
        if seen.size:
            self._statistics.update(seen)
        np.copyto(self._returns, 0.0, where=ended)
        scaled = rewards / self._statistics.deviation
        return np.minimum(np.maximum(scaled, -CLIP), CLIP)

    def state_dict(self) -> dict[str, Any]:
        """Return the statistics, and the discounted returns of the running episodes."""
        return {"returns": torch.tensor(self._returns, device="cpu")} | _state(self._statistics)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned.

        Raises:
            ValueError: If an entry is missing or of another shape; nothing changes then.
        """
        returns = _entry(state, "returns", self._returns.shape)
        _load(self._statistics, state)
        self._returns = returns


def _require_float32(name: str, values: NDArray[Any]) -> None:
    """Raise unless the numbers are finite in float32: the squares of larger ones overflow."""
    place = not_float32(values)
    if place is not None:
        raise ValueError(
            f"{name}: expected finite numbers of float32, got {values[place]} at index "
            f"{list(place)}."
        )


def _state(statistics: RunningStatistics) -> dict[str, Any]:
    return {
        "mean": torch.tensor(statistics.mean, device="cpu"),
        "var": torch.tensor(statistics.var, device="cpu"),
        "count": float(statistics.count),
    }


def _load(statistics: RunningStatistics, state: Mapping[str, Any]) -> None:
    shape = np.shape(statistics.mean)
    mean, var, count = (
        _entry(state, name, shape if name != "count" else ()) for name in ("mean", "var", "count")
    )
    statistics.mean = mean
    statistics.var = var
    statistics.count = float(count)


def _entry(state: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a copy of one entry, which must be finite numbers of this shape."""
    if not isinstance(state, Mapping) or name not in state:
        raise ValueError(f'state["{name}"]: expected what state_dict() returned, got {state!r}.')
    entry = state[name]
    tensor = (
        entry.detach().cpu() if isinstance(entry, torch.Tensor) and not entry.is_meta else entry
    )
    try:
        value = _array(f'state["{name}"]', tensor, shape, "fiub").astype(np.float64)
    except TypeError as error:
        raise ValueError(str(error)) from error
    if not np.isfinite(value).all():
        raise ValueError(f'state["{name}"]: expected finite numbers, got {entry!r}.')
    return value


def _array(name: str, value: Any, shape: tuple[int, ...], kinds: str) -> NDArray[Any]:
    """Return an array of this shape, whose dtype is of one of these kinds."""
    if type(value) is np.ndarray and value.shape == shape and value.dtype.kind in kinds:
        return value
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: expected numbers, got {value!r}.") from error
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {list(shape)}, got {list(array.shape)}.")
    if array.dtype.kind not in kinds:
        expected = "bool" if kinds == "b" else "real numbers"
        raise TypeError(f"{name}: expected {expected}, got {array.dtype}.")
    return array
