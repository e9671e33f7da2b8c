"""Checks of arguments, and the wording of their errors."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Mapping, Sized
from typing import TypeGuard

import torch
from torch.nn.parameter import is_lazy

FLOAT_DTYPES = frozenset({torch.float64, torch.float32, torch.bfloat16, torch.float16})
LARGEST_SIZE = 2**31 - 1  # kernels index with 32 bits


# enforces C10
def require_shape(name: str, value: object, shape: Mapping[str, int | None]) -> torch.Tensor:
    """Return `value` if it is a dense tensor of this shape, given as size by dimension name.

    Args:
        name: The argument, as the error names it.
        value: The value that was passed.
        shape: Size of each dimension; None for any.
    """
    if not is_dense(value):
        kind = "dense tensor" if isinstance(value, torch.Tensor) else "torch.Tensor"
        raise TypeError(f"{name}: expected a {kind}, got {describe(value)}.")
    sizes = tuple(shape.values())
    if value.shape != sizes and not _fits(value.shape, sizes):
        described = ", ".join(d if size is None else f"{d}={size}" for d, size in shape.items())
        raise ValueError(f"{name}: expected shape [{described}], got {list(value.shape)}.")
    return value


def _fits(shape: torch.Size, sizes: tuple[int | None, ...]) -> bool:
    same_rank = len(shape) == len(sizes)
    return same_rank and all(size in {None, got} for size, got in zip(sizes, shape, strict=True))


def require_positive(**named: object) -> None:
    """Raise unless every argument is an integer of at least 1; a bool does not count."""
    for name, value in named.items():
        if not _is_integer(value) or operator.index(value) < 1:  # type: ignore[arg-type]  # _is_integer says so
            raise ValueError(f"{name}: expected an int of at least 1, got {reprlib.repr(value)}.")
        if operator.index(value) > LARGEST_SIZE:  # type: ignore[arg-type]  # _is_integer says so
            raise ValueError(f"{name}: expected an int of at most {LARGEST_SIZE}, got {value!r}.")


def require_bool(**named: object) -> None:
    """Raise unless every argument is True or False: a string or a tensor would count as true."""
    for name, value in named.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name}: expected True or False, got {describe(value)}.")


def describe(value: object) -> str:
    """Say in a few words what was passed: its type and size, or the value itself."""
    if isinstance(value, torch.Tensor):
        return _describe_tensor(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if hasattr(value, "shape"):
        return f"{type(value).__name__} of {reprlib.repr(value.shape)}"
    if isinstance(value, Sized):
        return f"{type(value).__name__} of {len(value)}"
    shown = reprlib.repr(value)
    return f"a {type(value).__name__}" if shown.startswith("<") else shown


def _describe_tensor(tensor: torch.Tensor) -> str:
    if is_lazy(tensor) or tensor.is_nested:
        return f"a {type(tensor).__name__} without one shape"
    kind = "a tensor" if tensor.layout == torch.strided else f"a {tensor.layout} tensor"
    return f"{kind} of {list(tensor.shape)}"


def is_dense(value: object) -> TypeGuard[torch.Tensor]:
    """Tell whether `value` is a tensor that holds a number at each place of its shape."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_nested
        and not is_lazy(value)
    )


def _is_integer(value: object) -> bool:
    if isinstance(value, bool | torch.Tensor):
        return False
    try:
        operator.index(value)  # type: ignore[arg-type]  # it is asked whether this raises
    except TypeError:  # arrays have the method, whatever they hold
        return False
    return True
