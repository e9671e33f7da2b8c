"""Advice about inference tensors: their origin, what is lost with them, and the remedy."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tamiyo_rl.contract.origin import origin_of
from tamiyo_rl.contract.trace import travel_of
from tamiyo_rl.contract.wording import and_more, listed

OUR_POLICIES = "tamiyo_rl.policy."  # their methods are known: what is lost, and what helps
_INITIAL_HIDDEN = "pass hidden=None; or clone() it, and pass episode_starts too"
_CLONE = "clone() it outside inference mode"
_MOST_PATHS = 8  # that a message names in each group
_MOST_GROUPS = 4  # that a message describes


def leak_message(method: str, found: Mapping[str, torch.Tensor], *, is_ours: bool) -> str:
    """Write one paragraph for each group of arguments that shares origin, loss and remedy."""
    groups: dict[str, list[str]] = {}
    for path, tensor in found.items():
        groups.setdefault(_explanation(path, tensor, is_ours=is_ours), []).append(path)
    shown = list(groups.items())[:_MOST_GROUPS]
    parts = [f"\n  {listed(paths, most=_MOST_PATHS)} {text}" for text, paths in shown]
    others = and_more(len(found) - sum(len(paths) for _, paths in shown))
    parts += [f"\n {others}"] if others else []
    return f"{method}() trains on copies of the inference tensors it was given:{''.join(parts)}"


def _explanation(path: str, tensor: torch.Tensor, *, is_ours: bool) -> str:
    origin = origin_of(tensor)
    travel = travel_of(tensor)
    remedy = _our_remedy(origin) if is_ours else _CLONE
    parts = [f"from {origin or 'unknown code'}", *([travel] if travel else [])]
    lost = _lost(tensor, is_state=is_ours and path.startswith("hidden"))
    return "\n    ".join([*parts, f"lost: {lost}", f"do: {remedy}"])


def _our_remedy(origin: str | None) -> str:
    if (origin or "").endswith(".initial_hidden"):
        return _INITIAL_HIDDEN
    return f"{_CLONE}, or take it from RolloutBuffer"


def _lost(tensor: torch.Tensor, *, is_state: bool) -> str:
    if not tensor.is_floating_point():
        return "nothing"
    source = "the initial state" if is_state else "what made it, if that is to be trained"
    return f"the gradient into {source}"
