"""Policies with one mistake each on the training side, which raises no error."""

from __future__ import annotations

from typing import Any

from tamiyo_rl import EvalResult, LSTMPolicyBundle


class PolicyLossFromTheRollout(LSTMPolicyBundle):
    """The policy loss has log-probabilities without a graph, as `get_action` returns them."""

    def evaluate_actions(self, *args: Any, **kwargs: Any) -> EvalResult:
        """Evaluate, and lose the graph of the log-probabilities."""
        result = super().evaluate_actions(*args, **kwargs)
        return result._replace(log_prob={n: x.detach() for n, x in result.log_prob.items()})


class ValueLossFromTheRollout(LSTMPolicyBundle):
    """The value loss has values without a graph, as `get_value` returns them."""

    def evaluate_actions(self, *args: Any, **kwargs: Any) -> EvalResult:
        """Evaluate, and lose the graph of the value."""
        result = super().evaluate_actions(*args, **kwargs)
        return result._replace(value=result.value.detach())


class ResetsIgnored(LSTMPolicyBundle):
    """Training takes each row for one episode; the rollout resets where episodes start."""

    def evaluate_actions(self, *args: Any, **kwargs: Any) -> EvalResult:
        """Evaluate without the episode starts."""
        return super().evaluate_actions(*args, **(kwargs | {"episode_starts": None}))


class InitialStateDetached(LSTMPolicyBundle):
    """The learned initial state enters training as a copy without a graph."""

    def evaluate_actions(self, *args: Any, **kwargs: Any) -> EvalResult:
        """Evaluate with an initial state that is a constant."""
        learned = [p for name, p in self.named_parameters() if "initial" in name]
        for parameter in learned:
            parameter.requires_grad = False
        result = super().evaluate_actions(*args, **kwargs)
        for parameter in learned:
            parameter.requires_grad = True
        return result
