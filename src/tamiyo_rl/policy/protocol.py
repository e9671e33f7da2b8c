"""What a policy is: the values it passes, and the interface that the trainer asks of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, runtime_checkable

import torch

if TYPE_CHECKING:
    from tamiyo_rl.policy.episode_plan import EpisodePlan

HeadTensors = Mapping[str, torch.Tensor]


class HiddenState(NamedTuple):
    """The state of an LSTM, a pair that `nn.LSTM` takes as it is.

    Attributes:
        h: Output state, `[layers, B, hidden]`.
        c: Cell state, `[layers, B, hidden]`.

    Examples:
        ```python
        import torch
        from tamiyo_rl import HiddenState

        state = HiddenState(torch.zeros(1, 2, 8), torch.zeros(1, 2, 8))
        output, _ = torch.nn.LSTM(4, 8, batch_first=True)(torch.zeros(2, 5, 4), state)
        print(list(output.shape), state.clone().h is state.h)
        ```

        ```text
        [2, 5, 8] False
        ```
    """

    h: torch.Tensor
    c: torch.Tensor

    def clone(self) -> HiddenState:
        """Return a copy: outside inference mode, one of ordinary tensors."""
        return HiddenState(self.h.clone(), self.c.clone())


class ActionResult(NamedTuple):
    """What a policy did in one step of the rollout (C2): inference tensors.

    Attributes:
        action: Index chosen by each head, `[B]` int64.
        log_prob: Its log-probability by head, `[B]`, in nats.
        value: Estimated return, `[B]`.
        hidden: State after the step.

    Examples:
        ```python
        import torch
        from tamiyo_rl import LSTMPolicyBundle

        bundle = LSTMPolicyBundle(feature_dim=4, action_dims={"op": 3, "slot": 5})
        step = bundle.get_action(torch.zeros(2, 4))
        print(list(step.action), list(step.joint_log_prob.shape))
        ```

        ```text
        ['op', 'slot'] [2]
        ```
    """

    action: dict[str, torch.Tensor]
    log_prob: dict[str, torch.Tensor]
    value: torch.Tensor
    hidden: HiddenState

    @property
    def joint_log_prob(self) -> torch.Tensor:
        """Log-probability of the whole action, `[B]`: the heads are independent, so their sum."""
        return joint(self.log_prob)


class EvalResult(NamedTuple):
    """What a policy makes of stored actions, differentiable (C3).

    Attributes:
        log_prob: Log-probability of the action by head, `[B, T]`, in nats.
        entropy: Entropy by head, `[B, T]`, in nats.
        value: Estimated return, `[B, T]`.
        hidden: State after the last step of each row.

    Examples:
        ```python
        import torch
        from tamiyo_rl import LSTMPolicyBundle

        bundle = LSTMPolicyBundle(feature_dim=4, action_dims={"op": 3, "slot": 5})
        actions = {name: torch.zeros(2, 7, dtype=torch.long) for name in ("op", "slot")}
        result = bundle.evaluate_actions(torch.zeros(2, 7, 4), actions)
        print(list(result.joint_log_prob.shape), list(result.joint_entropy.shape))
        ```

        ```text
        [2, 7] [2, 7]
        ```
    """

    log_prob: dict[str, torch.Tensor]
    entropy: dict[str, torch.Tensor]
    value: torch.Tensor
    hidden: HiddenState

    @property
    def joint_log_prob(self) -> torch.Tensor:
        """Log-probability of the whole action, `[B, T]`: the sum over the heads."""
        return joint(self.log_prob)

    @property
    def joint_entropy(self) -> torch.Tensor:
        """Entropy of the whole action, `[B, T]`: the sum over the independent heads."""
        return joint(self.entropy)


class ForwardResult(NamedTuple):
    """The differentiable outputs before any action is chosen (C3).

    Attributes:
        logits: Unnormalised log-probabilities by head, `[B, T, N]`; -inf where masked.
        value: Estimated return, `[B, T]`.
        hidden: State after the last step of each row.

    Examples:
        ```python
        import torch
        from tamiyo_rl import LSTMPolicyBundle

        bundle = LSTMPolicyBundle(feature_dim=4, action_dims=3)
        print(list(bundle.forward(torch.zeros(2, 7, 4)).logits["action"].shape))
        ```

        ```text
        [2, 7, 3]
        ```
    """

    logits: dict[str, torch.Tensor]
    value: torch.Tensor
    hidden: HiddenState


def joint(by_head: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Sum the heads' tensors, in the order of the heads."""
    first, *rest = by_head.values()
    for tensor in rest:
        first = first + tensor
    return first


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
    def action_dims(self) -> Mapping[str, int]:
        """Number of actions by head."""
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
