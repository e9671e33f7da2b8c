"""The search for inference tensors, in whatever holds them."""

from __future__ import annotations

import datetime as dt
import enum
import functools
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    FunctionType,
    GenericAlias,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import torch
from torch import nn

from tamiyo_rl.contract.nesting import ATOMS, children_of, is_tensor, only_atoms

MOST_VALUES = 100_000
# They hold no tensor.
EMPTY = (
    *(type, ModuleType, BuiltinFunctionType, GenericAlias, enum.Enum, re.Pattern, PurePath),
    *(dt.date, dt.time, dt.timedelta, range, slice, memoryview, bytearray),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format, torch.Generator),
)
EMPTY_BY_NAME = ("numpy.", "torch.Storage", "torch.storage.")
OF_A_MODULE = "_parameters", "_buffers", "_modules"


class InferenceTensors(dict[str, torch.Tensor]):
    """Inference tensors by their paths, as `find_inference_tensors` finds them.

    Attributes:
        unseen: Paths of values that the search did not enter: those that do not show what they
            hold, and the first of those that were too many.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unseen: list[str] = []


def find_inference_tensors(**named: object) -> InferenceTensors:
    """Find the inference tensors in any nesting of values (C4).

    It enters containers, modules with their parameters, buffers and attributes, and the attributes
    and slots of other objects. It calls no property and no method of yours.

    Args:
        **named: Values to search, each under the name that its paths begin with.

    Returns:
        Each inference tensor by its path, such as `hidden.c` or `masks["op"]`. The attribute
        `unseen` has the paths of values that the search did not enter.

    Examples:
        ```python
        import torch
        from tamiyo_rl import find_inference_tensors

        class Cache:
            def __init__(self):
                self.keys = [torch.zeros(2)]

        with torch.inference_mode():
            state = torch.zeros(1, 8, 128)
            cache = Cache()
        model = torch.nn.Linear(2, 2)
        model.register_buffer("table", cache.keys[0])
        found = find_inference_tensors(hidden=(state, state.clone()), cache=cache, model=model)
        print(list(found))
        print(find_inference_tensors(later=(cache for _ in range(2))).unseen)
        ```

        ```text
        ['hidden[0]', 'cache.keys[0]', 'model.table']
        ['later']
        ```
    """
    found = InferenceTensors()
    entered: dict[int, object] = {}  # keeps its values alive, since Python reuses ids
    pending: list[tuple[str, Any]] = list(reversed(named.items()))
    while pending:
        path, value = pending.pop()
        if is_tensor(value):
            if value.is_inference():
                found[path] = value
            continue
        if type(value) in ATOMS or id(value) in entered:
            continue
        if len(entered) == MOST_VALUES:
            found.unseen.append(path)
            break
        entered[id(value)] = value
        children = _children(value)
        if children is None:
            found.unseen.append(path)
        pending += [(path + step, child) for step, child in reversed(children or [])]
    return found


def _children(value: Any) -> list[tuple[str, Any]] | None:
    """List what a value holds, by the step of its path; None if it does not show it."""
    try:
        if isinstance(value, nn.Module):
            return list(_parts_of_module(value))
        if isinstance(value, Mapping | set | frozenset):
            return _items(value)
        return _parts_of_callable(value) if callable(value) else _parts_of_object(value)
    except Exception:  # noqa: BLE001 - a proxy may raise anything
        return None


def _items(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        return [(f"[{number}]", item) for number, item in enumerate(value)]
    return [] if only_atoms(value.values()) else [(_step(key), v) for key, v in value.items()]


def _parts_of_callable(value: Any) -> list[tuple[str, Any]] | None:
    """List what a partial or a method holds; None for a function that may hold anything."""
    if isinstance(value, functools.partial):
        return [(".func", value.func), (".args", value.args), (".keywords", value.keywords)]
    if isinstance(value, MethodType):
        return [(".__self__", value.__self__)]
    if isinstance(value, FunctionType):
        return None if value.__closure__ else []
    return _parts_of_object(value)


def _parts_of_object(value: Any) -> list[tuple[str, Any]] | None:
    return [] if _is_empty(value) else children_of(value) or _attributes(value)


def _is_empty(value: object) -> bool:
    kind = type(value)
    if issubclass(kind, EMPTY) or (issubclass(kind, tuple | list) and only_atoms(value)):  # type: ignore[arg-type]  # it is one
        return True
    return f"{kind.__module__}.{kind.__qualname__}".startswith(EMPTY_BY_NAME)


def _parts_of_module(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for holder in (vars(module)[name] for name in OF_A_MODULE):
        yield from ((f".{name}", part) for name, part in holder.items())
    for name, value in vars(module).items():
        if name not in OF_A_MODULE:
            yield f".{name}", value


def _step(key: object) -> str:
    if isinstance(key, str):
        return f'["{key}"]'
    return f"[{key!r}]" if type(key) in ATOMS else f"[{type(key).__name__}]"


def _attributes(value: Any) -> list[tuple[str, Any]] | None:
    """List the attributes and slots of an object; None if it has neither."""
    held = dict(_slots(value))
    attributes = _dictionary(value)
    is_plain = isinstance(value, tuple | list) or any("__slots__" in vars(k) for k in _kinds(value))
    if attributes is None and not is_plain:
        return None
    return [(f".{name}", part) for name, part in {**held, **(attributes or {})}.items()]


def _slots(value: object) -> Iterator[tuple[str, Any]]:
    """Yield what the slots of an object hold."""
    for kind in _kinds(value):
        for name, member in vars(kind).items() if "__slots__" in vars(kind) else ():
            if isinstance(member, MemberDescriptorType):
                with suppress(AttributeError):  # it is empty
                    yield name, member.__get__(value)


def _kinds(value: object) -> tuple[type, ...]:
    return type(value).__mro__


def _dictionary(value: object) -> dict[str, Any] | None:
    """Return the `__dict__` of an object, without asking what its class would answer."""
    try:
        found: dict[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return found
