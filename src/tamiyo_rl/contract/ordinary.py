"""Fast check that no argument is an inference tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch.nn.parameter import is_lazy

from tamiyo_rl.contract.nesting import TENSORLESS, HasParameters, is_tensor, leaves

M = TypeVar("M", bound=Callable[..., object])


def all_ordinary(values: Iterable[object]) -> bool:
    """Tell whether every tensor in any nesting of `values` is ordinary, and always was.

    Of a module, only the parameters that require grad count.

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
    tensors, others = _sorted(values)
    if any(map(torch.Tensor.is_inference, tensors)):
        return False
    for leaf in leaves(others):
        if isinstance(leaf, torch.Tensor):
            if leaf.is_inference():
                return False
        elif not _is_ordinary(leaf):
            return False
    return True


def _sorted(values: Iterable[object]) -> tuple[list[torch.Tensor], list[object]]:
    """Return the plain tensors of a usual call, and all else that needs a closer look.

    A usual call is given tensors, and tuples and dicts of tensors; `leaves` takes several times as
    long, since it looks for every kind of container, and for one that holds itself.
    """
    tensors: list[torch.Tensor] = []
    others: list[object] = []
    for value in values:
        kind = type(value)
        if kind is torch.Tensor:
            tensors.append(value)  # type: ignore[arg-type]  # it is one
        elif kind is dict:
            _sort(value.values(), tensors, others)  # type: ignore[attr-defined]  # it is a dict
        elif issubclass(kind, tuple) and kind.__iter__ is tuple.__iter__:
            _sort(value, tensors, others)  # type: ignore[arg-type]  # it is a tuple
        elif kind not in TENSORLESS:
            others.append(value)
    return tensors, others


def _sort(values: Iterable[object], tensors: list[torch.Tensor], others: list[object]) -> None:
    for value in values:
        if type(value) is torch.Tensor:
            tensors.append(value)
        elif type(value) not in TENSORLESS:
            others.append(value)


def _is_ordinary(owner: HasParameters) -> bool:
    try:
        return all(is_trackable(p) or not p.requires_grad for p in _parameters(owner))
    except Exception:  # noqa: BLE001 - it names no parameters after all; see parameters_of()
        return False


def _parameters(owner: HasParameters) -> Iterable[torch.Tensor]:
    """Return the parameters without names, which take PyTorch several times as long."""
    module: Any = getattr(owner, getattr(owner.named_parameters, "forwards_to", ""), owner)
    if getattr(type(module), "named_parameters", None) is not torch.nn.Module.named_parameters:
        return [parameter for _, parameter in owner.named_parameters()]
    found: list[torch.Tensor | None] = []
    seen = set()
    pending = [module]
    while pending:
        module = pending.pop()
        if module is not None and id(module) not in seen:  # a module may hold itself
            seen.add(id(module))
            found += module._parameters.values()
            pending += module._modules.values()
    return [parameter for parameter in found if parameter is not None]


def forwards_to(attribute: str) -> Callable[[M], M]:
    """Declare that a `named_parameters` names those of the module in an attribute, as they are."""

    def mark(method: M) -> M:
        method.forwards_to = attribute  # type: ignore[attr-defined]  # a function takes attributes
        return method

    return mark


def parameters_of(owner: Any) -> dict[str, torch.Tensor] | None:
    """Return the parameters that an owner names; None if what it names are not parameters.

    Lazy parameters, which hold nothing yet, are left out.

    Examples:
        ```python
        import weakref

        import torch
        from tamiyo_rl.contract.ordinary import parameters_of

        layer = torch.nn.Linear(2, 2)
        proxy = weakref.proxy(layer)
        print(list(parameters_of(proxy)))
        del layer
        print(parameters_of(proxy))
        ```

        ```text
        ['weight', 'bias']
        None
        ```
    """
    try:
        named = dict(owner.named_parameters())
    except Exception:  # noqa: BLE001 - a stand-in or a proxy may have any attribute
        return None
    return {name: p for name, p in named.items() if is_tensor(p)}


def any_requires_grad(values: object) -> bool:
    """Tell whether a tensor in any nesting of `values` requires grad."""
    tensors, _ = _sorted([values])  # in most results one of these does
    if any(tensor.requires_grad for tensor in tensors):
        return True
    return any(isinstance(leaf, torch.Tensor) and leaf.requires_grad for leaf in leaves([values]))


def is_trackable(parameter: torch.Tensor) -> bool:
    """Tell whether autograd can track writes, as it cannot if inference mode made the tensor."""
    try:
        return parameter._version >= 0 and not parameter.is_inference()
    except (RuntimeError, ValueError):
        return is_lazy(parameter)  # it holds nothing yet
