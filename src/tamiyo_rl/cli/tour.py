"""`tamiyo-rl tour`: the contract at work, in a few lines that can be watched."""

from __future__ import annotations

import textwrap
import warnings
from dataclasses import dataclass

import torch
from rich.console import Console

from tamiyo_rl.contract.audit import audit_gradients
from tamiyo_rl.contract.guard import InferenceTensorWarning
from tamiyo_rl.policy.bundle import LSTMPolicyBundle

CALL = "bundle.evaluate_actions(features, actions, hidden=bundle.initial_hidden(8))"


@dataclass
class Tour:
    """Show the contract at work: what a rollout state does in a training call."""

    def __call__(self, console: Console) -> None:
        """Pass the state of `initial_hidden()` to `evaluate_actions`, and print what happens."""
        bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
        features = torch.randn(8, 16, 4)
        actions = {"action": torch.zeros(8, 16, dtype=torch.long)}

        console.rule("The contract at work")
        console.print(f"\n[bold]Plainly[/]:\n{CALL}", soft_wrap=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            bundle.evaluate_actions(features, actions, hidden=bundle.initial_hidden(8))
        for warning in caught:
            _quote(console, f"{warning.category.__name__}:\n{warning.message}")

        console.print('\n[bold]With warnings as errors[/]: warnings.filterwarnings("error", ...)')
        with warnings.catch_warnings():
            warnings.filterwarnings("error", category=InferenceTensorWarning)
            try:
                bundle.evaluate_actions(features, actions, hidden=bundle.initial_hidden(8))
            except InferenceTensorWarning:
                _quote(console, "InferenceTensorWarning raised; nothing was computed.")

        console.print("\n[bold]As the contract wants it[/]: hidden=None")
        evaluation = bundle.evaluate_actions(features, actions)
        (evaluation.value.mean() - evaluation.joint_log_prob.mean()).backward()
        trained = [parameter.grad is not None for parameter in bundle.parameters()]
        _quote(console, f"no warning; {sum(trained)} of {len(trained)} parameters trained")
        _show_audit(console, bundle, features, actions)


def _show_audit(
    console: Console,
    bundle: LSTMPolicyBundle,
    features: torch.Tensor,
    actions: dict[str, torch.Tensor],
) -> None:
    """Build two losses from the wrong source, and print what the audit says of them."""
    rollout = bundle.get_action(features[:, 0])
    evaluation = bundle.evaluate_actions(features, actions)
    policy = -evaluation.joint_log_prob.mean()
    value = evaluation.value.square().mean()
    console.print("\n[bold]A policy loss from get_action().log_prob[/], beside a right value loss")
    terms = {"policy": -rollout.joint_log_prob.mean(), "value": value}
    _quote(console, str(audit_gradients(terms, bundle)))
    console.print("\n[bold]A value loss from get_value()[/], beside a right policy loss")
    terms = {"policy": policy, "value": bundle.get_value(features[:, 0]).square().mean()}
    _quote(console, str(audit_gradients(terms, bundle)))


def _quote(console: Console, text: str) -> None:
    """Print a text indented, with its lines as they are: a pipe has no width."""
    quoted = textwrap.indent(text, "    ")
    console.print(quoted, style="yellow", highlight=False, markup=False, soft_wrap=True)
