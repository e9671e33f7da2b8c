"""Tensors in nested arguments: find them by path, and rebuild the nesting with others in place."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import torch


def walk_tensors(
    value: object, path: str, above: frozenset[int] = frozenset()
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every tensor in `value` with its path, such as `hidden.c` or `masks["op"]`."""
    if isinstance(value, torch.Tensor):
        yield path, value
    elif id(value) not in above:  # a container may hold itself
        for step, child in _children(value).items():
            yield from walk_tensors(child, path + step, above | {id(value)})


def replace_tensors(
    value: Any,  # noqa: ANN401 - any nesting
    replace: Callable[[torch.Tensor], torch.Tensor],
    above: frozenset[int] = frozenset(),
) -> Any:  # noqa: ANN401 - as the value
    """Return `value` with each tensor passed through `replace`; what does not change is kept."""
    if isinstance(value, torch.Tensor):
        return replace(value)
    if id(value) in above:
        return value
    old = list(_children(value).values())
    new = [replace_tensors(child, replace, above | {id(value)}) for child in old]
    unchanged = all(before is after for before, after in zip(old, new, strict=True))
    return value if unchanged else _rebuild(value, new)


def _children(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any nesting
    """Map how the path goes on (`.h`, `[0]`, `["op"]`) to each child of a container."""
    if isinstance(value, Mapping):
        return {f'["{k}"]' if isinstance(k, str) else f"[{k!r}]": v for k, v in value.items()}
    if isinstance(value, tuple | list | deque):
        names = [f".{name}" for name in getattr(value, "_fields", ())]
        return dict(zip(names or [f"[{i}]" for i in range(len(value))], value, strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in dataclasses.fields(value) if hasattr(value, f.name)]
        return {f".{name}": getattr(value, name) for name in names}
    return {}


def _rebuild(value: Any, children: list[Any]) -> Any:  # noqa: ANN401 - any nesting
    if isinstance(value, tuple):
        return getattr(value, "_make", type(value))(children)
    if isinstance(value, Mapping) and not isinstance(value, MutableMapping):
        return dict(zip(value, children, strict=True))
    rebuilt = copy.copy(value)  # keeps the type, and what is not a tensor
    if isinstance(value, MutableMapping):
        rebuilt.update(zip(value, children, strict=True))
    elif isinstance(value, list | deque):
        for index, child in enumerate(children):
            rebuilt[index] = child
    else:
        for path, child in zip(_children(value), children, strict=True):
            object.__setattr__(rebuilt, path[1:], child)  # frozen dataclasses too
    return rebuilt
