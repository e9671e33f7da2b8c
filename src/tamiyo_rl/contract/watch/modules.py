"""What the watched modules hold: parameters, attributes and buffers, by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from tamiyo_rl.checks import describe
from tamiyo_rl.contract.nesting import (
    HasParameters,
    has_parameters,
    walk_leaves,
    walk_tensors,
)
from tamiyo_rl.contract.ordinary import parameters_of

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))  # its parts, its hooks and its mode


def trainable_parameters(modules: Mapping[str, HasParameters]) -> dict[str, torch.Tensor]:
    """Name each parameter that requires a gradient, once: modules may share parameters."""
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for prefix, module in modules.items():
        for name, parameter in (*module.named_parameters(), *_hidden_parameters(module)):
            if parameter.requires_grad:
                found.setdefault(id(parameter), (prefix + name, parameter))
    return dict(found.values())


def any_frozen(modules: Mapping[str, HasParameters]) -> bool:
    """Tell whether a parameter of the modules is frozen."""
    named = (named for module in modules.values() for named in module.named_parameters())
    return any(not parameter.requires_grad for _, parameter in named)


def named_modules(modules: object) -> dict[str, HasParameters]:
    """Return the modules, each with the beginning of its parameters' names."""
    if has_parameters(modules):
        return {"": modules}  # type: ignore[dict-item]  # it has parameters
    try:
        several = list(modules)  # type: ignore[call-overload]  # what cannot be iterated raises
    except TypeError:
        several = [modules]
    for module in several:
        if not has_parameters(module):
            raise TypeError(
                "modules: expected an nn.Module or an iterable of them, got "
                f"{describe(module)}.\n  do: pass the module that is trained"
            )
    return {f"[{number}].": module for number, module in enumerate(several)}


def _hidden_parameters(owner: HasParameters) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the parameters of modules in lists and dicts, which no module registers."""
    registered = {id(parameter) for _, parameter in owner.named_parameters()}
    for place, value in _attributes(owner):
        if isinstance(value, list | tuple | dict):
            for path, inner in walk_leaves(value, place):
                named = parameters_of(inner) if has_parameters(inner) else None
                for name, parameter in (named or {}).items():
                    if id(parameter) not in registered:
                        yield f"{path}.{name}", parameter


def _attributes(owner: HasParameters) -> Iterator[tuple[str, object]]:
    """Yield the attributes and buffers of each module, by path."""
    inner = owner.named_modules() if isinstance(owner, nn.Module) else ()
    for path, module in inner:
        for name, value in {**module._buffers, **vars(module)}.items():
            if name not in _OF_EVERY_MODULE:
                yield ".".join(filter(None, (path, name))), value


def inference_attributes(modules: Mapping[str, HasParameters]) -> Iterator[str]:
    """Name the buffers and attributes of modules that hold inference tensors."""
    for prefix, owner in modules.items():
        for place, value in _attributes(owner):
            found = walk_tensors(value, prefix + place)
            yield from (path for path, tensor in found if tensor.is_inference())
