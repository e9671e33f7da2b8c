"""A quick look at what a training call is given, which clears the usual call."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.nn.parameter import is_lazy

from tamiyo_rl.contract.nesting import has_parameters, is_tensor, leaves


def all_ordinary(values: Iterable[object]) -> bool:
    """Tell whether no tensor in any nesting of `values` is or was an inference tensor.

    Of modules the parameters count alone.

    Examples:
        ```python
        import torch
        from tamiyo_rl.contract.ordinary import all_ordinary

        with torch.inference_mode():
            born_there = torch.zeros(2)
        usual = {"features": torch.zeros(2), "policy": torch.nn.Linear(2, 2)}
        print(all_ordinary([usual]), all_ordinary([usual, (born_there,)]))
        ```

        ```text
        True False
        ```
    """
    for leaf in leaves(values):
        if is_tensor(leaf):
            if leaf.is_inference():
                return False
        elif has_parameters(leaf) and not all(is_trackable(p) for _, p in leaf.named_parameters()):
            return False
    return True


def any_requires_grad(values: object) -> bool:
    """Tell whether a tensor in any nesting of `values` requires grad."""
    return any(is_tensor(leaf) and leaf.requires_grad for leaf in leaves([values]))


def is_trackable(parameter: torch.Tensor) -> bool:
    """Tell whether autograd can track writes, as it cannot if inference mode made the tensor."""
    try:
        return is_lazy(parameter) or (parameter._version >= 0 and not parameter.is_inference())  # noqa: SLF001 - torch has no public name for it
    except RuntimeError:
        return False
