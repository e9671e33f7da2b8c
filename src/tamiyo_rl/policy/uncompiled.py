"""What stays outside compiled code, without loading the compiler where nothing is compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import torch

F = TypeVar("F", bound=Callable[..., Any])


def uncompiled(method: F) -> F:
    """Do as `torch.compiler.disable`, which loads the compiler at once: a second at each import."""

    @functools.wraps(method)
    def outside(*args: Any, **kwargs: Any) -> Any:
        call = torch.compiler.disable(method) if torch.compiler.is_compiling() else method
        return call(*args, **kwargs)

    return outside  # type: ignore[return-value]  # it takes and gives what the method does
