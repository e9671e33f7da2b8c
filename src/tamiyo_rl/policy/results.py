"""The results of the calls of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from tamiyo_rl.recurrent.hidden_state import HiddenState


class ActionResult(NamedTuple):
    """The result of one step of the rollout (C2), in inference tensors.

    Attributes:
        action: Index chosen by each head, `[B]` int64; or numbers `[B, D]`.
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
    """The evaluation of stored actions, differentiable (C3).

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
        logits: Unnormalised log-probabilities by head, `[B, T, N]`; -inf where masked. Of a
            Gaussian head the means, and then the logarithms of the standard deviations,
            `[B, T, 2 * D]`.
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
