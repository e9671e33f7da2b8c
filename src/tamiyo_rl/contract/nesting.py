"""Tensors in nested arguments: find them by path, and rebuild the nesting with others in place."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from types import SimpleNamespace
from typing import Any, TypeGuard

import torch
from torch.nn.parameter import is_lazy

ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})  # a fast way past most


def walk_tensors(value: object, path: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor in `value` with its path, such as `hidden.c` or `masks["op"]`."""
    return ((p, leaf) for p, leaf in walk_leaves(value, path) if is_tensor(leaf))


def is_tensor(value: object) -> TypeGuard[torch.Tensor]:
    """Tell whether `value` is a tensor, not counting a lazy parameter that holds nothing yet."""
    return isinstance(value, torch.Tensor) and not is_lazy(value)


def walk_leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield whatever in `value` is no container, with its path; each container is entered once."""
    entered: dict[int, object] = {}  # holds what it names, since an id is used again
    pending = [(path, value)]
    while pending:
        path, value = pending.pop()
        children = children_of(value)
        if children is None:
            yield path, value
        elif id(value) not in entered:
            entered[id(value)] = value
            pending += [(path + step, child) for step, child in reversed(children)]


def leaves(values: Iterable[object]) -> Iterator[Any]:
    """Yield what `walk_leaves` yields, without the paths, in another order, and in less time."""
    entered: dict[int, object] = {}
    pending = list(values)
    while pending:
        value = pending.pop()
        if isinstance(value, torch.Tensor) or type(value) in ATOMS or has_parameters(value):
            yield value
            continue
        if id(value) in entered:
            continue
        entered[id(value)] = value
        if isinstance(value, tuple | list):
            pending += value
        elif type(value) is dict:
            pending += value.values()
        elif (children := children_of(value)) is None:
            yield value
        else:
            pending += [child for _, child in children]


def replace_tensors(
    value: Any,  # noqa: ANN401 - any nesting
    replace: Callable[[torch.Tensor], torch.Tensor],
    replaced: dict[int, tuple[Any, Any]] | None = None,
) -> Any:  # noqa: ANN401 - as the value
    """Return `value` with each tensor passed through `replace`; what does not change is kept.

    What stands at two places is replaced by one thing at both.

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

        A mapping of your own is not written to, though a plain copy of it shares its items; one
        that cannot be made of a dict becomes a dict:

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
    replaced = {} if replaced is None else replaced
    if id(value) not in replaced:
        replaced[id(value)] = value, value  # a container that holds itself goes on to hold itself
        replaced[id(value)] = value, _replaced(value, replace, replaced)
    return replaced[id(value)][1]


def _replaced(
    value: Any,  # noqa: ANN401 - any nesting
    replace: Callable[[torch.Tensor], torch.Tensor],
    replaced: dict[int, tuple[Any, Any]],
) -> Any:  # noqa: ANN401 - as the value
    if isinstance(value, torch.Tensor):
        return replace(value) if is_tensor(value) else value
    old = [child for _, child in children_of(value) or ()]
    new = [replace_tensors(child, replace, replaced) for child in old]
    unchanged = all(before is after for before, after in zip(old, new, strict=True))
    return value if unchanged else _rebuild(value, new)


def has_parameters(value: object) -> bool:
    """Tell whether `value` is a module, or anything else that names its parameters as one does."""
    return callable(getattr(value, "named_parameters", None)) and not isinstance(value, type)


def children_of(value: Any) -> list[tuple[str, Any]] | None:  # noqa: ANN401 - any nesting
    """List how the path goes on (`.h`, `[0]`, `["op"]`), and to what; None for no container."""
    if type(value) in ATOMS or isinstance(value, torch.Tensor) or has_parameters(value):
        return None
    if isinstance(value, Mapping):
        return [(f'["{k}"]' if isinstance(k, str) else f"[{k!r}]", v) for k, v in value.items()]
    if isinstance(value, tuple | list | deque):
        fields = getattr(value, "_fields", ())
        named = [f".{name}" for name in fields] if len(fields) == len(value) else None
        return list(zip(named or [f"[{i}]" for i in range(len(value))], value, strict=True))
    names = _attribute_names(value)
    if names is None:
        return None
    return [(f".{name}", getattr(value, name)) for name in names if hasattr(value, name)]


def _attribute_names(value: Any) -> list[str] | None:  # noqa: ANN401 - any nesting
    """Name the attributes of a dataclass, an attrs class or a namespace; None for all else."""
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    if isinstance(value, SimpleNamespace):
        return list(vars(value))
    attributes = getattr(type(value), "__attrs_attrs__", None)
    return attributes and [attribute.name for attribute in attributes]


def _rebuild(value: Any, children: list[Any]) -> Any:  # noqa: ANN401 - any nesting
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
        for (path, _), child in zip(children_of(value) or (), children, strict=True):
            object.__setattr__(rebuilt, path[1:], child)  # frozen ones too
    return rebuilt


def _rebuild_tuple(value: tuple[Any, ...], children: list[Any]) -> tuple[Any, ...]:
    if hasattr(value, "n_sequence_fields"):  # what torch.max() returns; C makes them its own way
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
    """Make a mappingproxy, a frozendict and the like anew; a dict where the type takes none."""
    try:
        return type(value)(items)  # type: ignore[call-arg]  # what is not made of a dict raises
    except TypeError:
        return items
