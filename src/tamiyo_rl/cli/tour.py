"""`tamiyo-rl tour`: the contract at work."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from tamiyo_rl.tour import show_contract


@dataclass
class Tour:
    """Show the contract at work: what a rollout state does in a training call."""

    def __call__(self, console: Console) -> None:
        """Print the tour."""
        show_contract(console)
