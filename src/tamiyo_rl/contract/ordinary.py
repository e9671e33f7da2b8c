"""A quick look at what a training call is given, which clears the usual call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from tamiyo_rl.contract.nesting import ATOMS, children_of, has_parameters, is_tensor

# More than this is left to the full look; a container that holds itself has no end.
MOST_VALUES = 1000


def all_ordinary(values: Iterable[object]) -> bool:
    """Tell whether no tensor in any nesting of `values` is or was an inference tensor.

    Of modules the parameters count alone. More than `MOST_VALUES` values count as not ordinary.

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
    pending = list(values)
    for _ in range(MOST_VALUES):
        if not pending:
            return True
        value: Any = pending.pop()
        if is_tensor(value):
            if value.is_inference():
                return False
        elif has_parameters(value):
            if not all(is_trackable(p) for _, p in value.named_parameters()):
                return False
        elif isinstance(value, tuple | list):
            pending += value
        elif type(value) not in ATOMS:
            pending += [child for _, child in children_of(value) or ()]
    return False


def is_trackable(parameter: torch.Tensor) -> bool:
    """Tell whether autograd can track writes: a tensor born in inference mode never lets it."""
    if is_lazy(parameter):
        return True
    try:
        return not parameter.is_inference() and parameter._version >= 0  # noqa: SLF001 - torch has no public name for it
    except RuntimeError:
        return False
