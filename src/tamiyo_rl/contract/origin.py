"""A marker on rollout tensors that names the method which returned them."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

from tamiyo_rl.contract.nesting import walk_tensors

MARKER = "_inference_mode_created"

T = TypeVar("T")


def mark_origin(returned: T, method: str) -> T:
    """Write `method` on every tensor in `returned`, and return it.

    The marker only says where a tensor came from. Views lose it and pickling keeps it, so
    only `Tensor.is_inference()` decides whether a tensor is an inference tensor.

    Args:
        returned: The return value of a rollout method; any nesting of tensors.
        method: The method's name, such as `"LSTMPolicyBundle.initial_hidden"`.

    Raises:
        TypeError: If `method` is not a string.

    Examples:
        ```python
        import torch
        from tamiyo_rl.contract import mark_origin, origin_of

        with torch.inference_mode():
            state = mark_origin(torch.zeros(2), "MyPolicy.initial_state")
        print(origin_of(state), origin_of(state.detach()))
        ```

        ```text
        MyPolicy.initial_state None
        ```
    """
    if not isinstance(method, str):
        raise TypeError(f"method: expected its name, a string, got {method!r}.")
    mark_tensors(method, *(tensor for _, tensor in walk_tensors(returned, "")))
    return returned


def mark_tensors(method: str, *tensors: torch.Tensor) -> None:
    """Write `method` on each tensor; `mark_origin` does so for nested ones.

    Args:
        method: The method's name.
        *tensors: The tensors that it returns.
    """
    for tensor in tensors:
        setattr(tensor, MARKER, method)


def origin_of(tensor: torch.Tensor) -> str | None:
    """Return the method that made `tensor`, or None if it has no marker.

    Args:
        tensor: Any tensor.

    Raises:
        TypeError: If it is not a tensor.

    Examples:
        ```python
        import torch
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.contract import origin_of

        bundle = LSTMPolicyBundle(feature_dim=4, action_dims=2)
        print(origin_of(bundle.initial_hidden().h), origin_of(torch.zeros(1)))
        ```

        ```text
        LSTMPolicyBundle.initial_hidden None
        ```
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"tensor: expected a torch.Tensor, got a {type(tensor).__name__}.")
    marker: Any = getattr(tensor, MARKER, None)
    return marker if isinstance(marker, str) else None
