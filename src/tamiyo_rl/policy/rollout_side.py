"""The mode in which the rollout side of a policy runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def rollout_side(method: Callable[P, R]) -> Callable[P, R]:
    """Run a method under inference mode (C2), where autocast keeps no cast of a weight.

    Older versions of PyTorch hand a cast that a rollout made to a training call in the same
    autocast region, and it is an inference tensor.

    Args:
        method: A method that collects experience.

    Examples:
        ```python
        import torch
        from tamiyo_rl.policy.rollout_side import rollout_side

        print(rollout_side(torch.zeros)(2).is_inference())
        ```

        ```text
        True
        ```
    """

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        is_cached = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)
        try:
            with torch.inference_mode():
                return method(*args, **kwargs)
        finally:
            torch.set_autocast_cache_enabled(is_cached)

    return call
