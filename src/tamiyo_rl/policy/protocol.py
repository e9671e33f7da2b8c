"""The interface of a policy, as the buffer, the trainer and the guard use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import torch

from tamiyo_rl.policy.action_dims import ActionDims
from tamiyo_rl.policy.results import ActionResult, EvalResult
from tamiyo_rl.recurrent.hidden_state import HiddenState

if TYPE_CHECKING:
    from tamiyo_rl.recurrent.episode_plan import EpisodePlan

HeadTensors = Mapping[str, torch.Tensor]


@runtime_checkable
class PolicyBundle(Protocol):
    """The interface of a recurrent policy with a rollout side and a training side.

    A policy of your own that has these methods can use `RolloutBuffer`, `RecurrentPPO` and the
    guard. The clauses of `LSTMPolicyBundle` say what each method promises.

    Examples:
        ```python
        from tamiyo_rl import LSTMPolicyBundle, PolicyBundle

        print(isinstance(LSTMPolicyBundle(feature_dim=4, action_dims=2), PolicyBundle))
        ```

        ```text
        True
        ```
    """

    feature_dim: int

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        ...

    @property
    def action_dims(self) -> ActionDims:
        """Number of actions by head, or a `Gaussian`."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Floating point type of the parameters."""
        ...

    def initial_hidden(self, batch_size: int = 1) -> HiddenState:
        """Return the state at the first step of an episode, for the rollout (C1)."""
        ...

    def get_action(
        self,
        features: torch.Tensor,
        masks: HeadTensors | None = None,
        hidden: HiddenState | None = None,
        *,
        episode_starts: torch.Tensor | None = None,
        deterministic: bool = False,
    ) -> ActionResult:
        """Choose actions for one step of the rollout (C2)."""
        ...

    def get_value(
        self,
        features: torch.Tensor,
        hidden: HiddenState | None = None,
        *,
        episode_starts: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Estimate the return at one step of the rollout (C2)."""
        ...

    def evaluate_actions(
        self,
        features: torch.Tensor,
        actions: HeadTensors,
        masks: HeadTensors | None = None,
        hidden: HiddenState | None = None,
        *,
        episode_starts: torch.Tensor | EpisodePlan | None = None,
    ) -> EvalResult:
        """Evaluate stored actions on sequences, differentiably (C3)."""
        ...

    @property
    def training(self) -> bool:
        """Whether the policy is in training mode (dropout on)."""
        ...

    def train(self, mode: bool = True) -> Self:
        """Set training mode, or evaluation mode, and return the policy."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Yield the parameters, for an optimizer."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """Yield the parameters with their names."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return the parameters and buffers by name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, torch.Tensor]) -> None:
        """Load what `state_dict` returned."""
        ...
