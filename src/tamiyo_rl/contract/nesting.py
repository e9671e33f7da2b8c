"""Nested arguments: find tensors in them by path, and rebuild them with other tensors."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from types import BuiltinMethodType, FunctionType, MethodType, SimpleNamespace
from typing import Any, Protocol, TypeGuard

import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
TENSORLESS: set[type] = {
    *ATOMS
}  # types that hold no tensors of a caller: a fast way past most values
_PLAIN = frozenset({tuple, list, dict})  # these have no attributes of their own
_ITERATORS = frozenset({tuple.__iter__, list.__iter__})  # another __iter__ may raise
_FEW = 50  # up to so many, a look at each is as fast
_METHODS = frozenset({FunctionType, MethodType, BuiltinMethodType})
_LAZY = (UninitializedParameter, UninitializedBuffer)
_MISSING: Any = object()


class HasParameters(Protocol):
    """An `nn.Module`, or anything that names its parameters as one does."""

    def named_parameters(self) -> Iterable[tuple[str, torch.nn.Parameter]]:
        """Yield each parameter with its name."""


def walk_tensors(value: object, path: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor in `value` with its path, such as `hidden.c` or `masks["op"]`."""
    return ((p, leaf) for p, leaf in walk_leaves(value, path) if is_tensor(leaf))


def is_tensor(value: object) -> TypeGuard[torch.Tensor]:
    """Tell whether `value` is a tensor, not counting a lazy parameter that holds nothing yet."""
    kind = type(value)  # isinstance() would ask a proxy, which may raise
    return issubclass(kind, torch.Tensor) and not issubclass(kind, _LAZY)


def walk_leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield each tensor and each owner of parameters by its path; enter each container once."""
    entered: dict[int, object] = {}  # keeps its values alive, since Python reuses ids
    pending = [(path, value)]
    while pending:
        path, value = pending.pop()
        if is_tensor(value) or has_parameters(value):
            yield path, value
        elif id(value) not in entered:
            entered[id(value)] = value
            pending += [(path + step, child) for step, child in reversed(children_of(value))]


def leaves(values: Iterable[object]) -> Iterator[Any]:
    """Yield what `walk_leaves` yields, but faster: without paths and in another order."""
    entered: dict[int, object] = {}
    pending: list[Any] = list(values)
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind in TENSORLESS or id(value) in entered:
            continue
        if issubclass(kind, torch.Tensor):
            if not issubclass(kind, _LAZY):
                yield value
            continue
        if kind not in _PLAIN and has_parameters(value):
            yield value
            continue
        entered[id(value)] = value
        if issubclass(kind, tuple | list) and kind.__iter__ in _ITERATORS:
            pending += () if only_atoms(value) else value
        elif kind is dict:
            pending += () if only_atoms(value.values()) else value.values()
        else:
            pending += [child for _, child in children_of(value)]


def only_atoms(values: Collection[object]) -> bool:
    """Tell whether `values` are many and hold no tensor; much faster than a look at each value."""
    return len(values) > _FEW and ATOMS.issuperset(map(type, values))


def replace_tensors(
    value: Any,
    replace: Callable[[torch.Tensor], torch.Tensor],
) -> Any:
    """Return `value` with `replace(tensor)` for each tensor; parts that do not change are kept.

    A value that appears in two places gets the same replacement in both.

    Examples:
        ```python
        from types import MappingProxyType, SimpleNamespace

        import torch
        from tamiyo_rl.contract.nesting import replace_tensors

        batch = (MappingProxyType({"x": torch.zeros(2)}), SimpleNamespace(y=torch.zeros(2).max(0)))
        fixed, named = replace_tensors(batch, torch.Tensor.clone)
        print(type(fixed).__name__, type(named).__name__, type(named.y).__name__)
        ```

        ```text
        mappingproxy SimpleNamespace max
        ```

        A mapping of your own class is not written to, although a plain copy of it shares its items.
        A mapping that cannot be made from a dict becomes a dict:

        ```python
        from collections.abc import Mapping, MutableMapping

        import torch
        from tamiyo_rl.contract.nesting import replace_tensors

        class Fixed(Mapping):
            def __init__(self, **items):
                self.items_by_name = items

            def __getitem__(self, name):
                return self.items_by_name[name]

            def __iter__(self):
                return iter(self.items_by_name)

            def __len__(self):
                return len(self.items_by_name)

        class Batch(Fixed, MutableMapping):
            def __setitem__(self, name, value):
                self.items_by_name[name] = value

            def __delitem__(self, name):
                del self.items_by_name[name]

        zeros = torch.zeros(2)
        for batch in (Fixed(x=zeros), Batch(x=zeros, kind=torch.Tensor)):
            replaced = replace_tensors(batch, torch.Tensor.clone)
            print(type(replaced).__name__, batch["x"] is zeros, replaced["x"] is zeros)
        ```

        ```text
        dict True False
        Batch True False
        ```
    """
    replaced: dict[int, tuple[Any, Any]] = {}
    pending: list[tuple[Any, list[tuple[str, Any]] | None]] = [(value, None)]
    while pending:
        current, children = pending.pop()
        if children is not None:  # all of them are replaced by now
            new = [replaced[id(child)][1] for _, child in children]
            replaced[id(current)] = current, _with_children(current, children, new)
        elif id(current) not in replaced:
            # A container that holds itself goes on to hold itself.
            replaced[id(current)] = current, replace(current) if is_tensor(current) else current
            if children := children_of(current):
                pending.append((current, children))
                pending += [(child, None) for _, child in reversed(children)]
    return replaced[id(value)][1]


def has_parameters(value: object) -> bool:
    """Tell whether `value` is a module, or anything else that names its parameters as one does.

    A stand-in that answers to every name does not count: its answer is not a method.
    """
    try:
        named_parameters = getattr(value, "named_parameters", None)
    except Exception:  # noqa: BLE001 - a proxy may raise anything
        return False
    return type(named_parameters) in _METHODS and not isinstance(value, type)


def children_of(value: Any) -> list[tuple[str, Any]]:
    """List the children of a container by their step in the path: `.h`, `[0]` or `["op"]`.

    Other values have no children, and neither has a value that raises when it is inspected, as a
    dead proxy does.

    Examples:
        ```python
        import weakref

        import torch
        from tamiyo_rl.contract.nesting import children_of

        layer = torch.nn.Linear(2, 2)
        proxy = weakref.proxy(layer)
        del layer
        print(children_of(proxy), children_of({"mask": None, 3: (1, 2)}))
        ```

        ```text
        [] [('["mask"]', None), ('[3]', (1, 2))]
        ```
    """
    try:
        return _children_of(value)
    except Exception:  # noqa: BLE001 - a proxy may raise anything
        return []


def _children_of(value: Any) -> list[tuple[str, Any]]:
    if type(value) in ATOMS or is_tensor(value) or has_parameters(value):
        return []
    if type(value) is dict and only_atoms(value.values()):
        return []
    if isinstance(value, Mapping):
        return [(f'["{k}"]' if isinstance(k, str) else f"[{k!r}]", v) for k, v in value.items()]
    if isinstance(value, tuple | list | deque):
        return [] if only_atoms(value) else _items_of(value)
    found = [(f".{name}", _attribute(value, name)) for name in _attribute_names(value)]
    return [(step, child) for step, child in found if child is not _MISSING]


def _items_of(value: Sequence[Any]) -> list[tuple[str, Any]]:
    fields = getattr(value, "_fields", ())
    named = [f".{name}" for name in fields] if len(fields) == len(value) else None
    return list(zip(named or [f"[{i}]" for i in range(len(value))], value, strict=True))


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except Exception:  # noqa: BLE001 - a property or a proxy may raise anything
        return _MISSING


def _attribute_names(value: Any) -> list[str]:
    """Name the attributes of a dataclass, an attrs class or a namespace; other values have none."""
    if isinstance(value, type):
        return []
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    if isinstance(value, SimpleNamespace):
        return list(vars(value))
    return [attribute.name for attribute in getattr(type(value), "__attrs_attrs__", ())]


def _with_children(
    value: Any,
    children: list[tuple[str, Any]],
    new: list[Any],
) -> Any:
    unchanged = all(old is child for (_, old), child in zip(children, new, strict=True))
    return value if unchanged else _rebuild(value, [step for step, _ in children], new)


def _rebuild(value: Any, steps: list[str], children: list[Any]) -> Any:
    if isinstance(value, tuple):
        return _rebuild_tuple(value, children)
    if isinstance(value, Mapping):
        keys = [key for key, _ in value.items()]  # a TensorDict iterates over its rows
        return _rebuild_mapping(value, dict(zip(keys, children, strict=True)))
    rebuilt = copy.copy(value)  # keeps the type, and what is not a tensor
    if isinstance(value, list | deque):
        for index, child in enumerate(children):
            rebuilt[index] = child
    else:
        for step, child in zip(steps, children, strict=True):
            object.__setattr__(rebuilt, step[1:], child)  # frozen ones too
    return rebuilt


def _rebuild_tuple(value: tuple[Any, ...], children: list[Any]) -> tuple[Any, ...]:
    if hasattr(value, "n_sequence_fields"):  # a result of torch.max(), which takes one sequence
        return type(value)(children)
    rebuilt = tuple.__new__(type(value), children)
    getattr(rebuilt, "__dict__", {}).update(getattr(value, "__dict__", {}))
    return rebuilt


def _rebuild_mapping(value: Mapping[Any, Any], items: dict[Any, Any]) -> Mapping[Any, Any]:
    if not isinstance(value, MutableMapping):
        return _rebuild_immutable(value, items)
    rebuilt = copy.copy(value)
    if not isinstance(value, dict) and not hasattr(value, "__copy__"):
        for name, part in vars(rebuilt).items():  # a plain copy shares what holds the items
            vars(rebuilt)[name] = copy.copy(part) if isinstance(part, dict) else part
    for key, item in items.items():  # update() passes over what a subclass does
        rebuilt[key] = item
    return rebuilt


def _rebuild_immutable(value: Mapping[Any, Any], items: dict[Any, Any]) -> Mapping[Any, Any]:
    """Rebuild a mappingproxy or a frozendict; return a dict if the type is not made from one."""
    try:
        return type(value)(items)  # type: ignore[call-arg]  # what is not made of a dict raises
    except TypeError:
        return items
