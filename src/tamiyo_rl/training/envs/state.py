"""The state of environments, taken and put back, where all of it is data."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from enum import Enum
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from tamiyo_rl.training.envs.call_counter import CountedMethod
from tamiyo_rl.training.storage.plain_data import NotPlainError, decode, encode

Layer = gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any] | gymnasium.Space[Any]
# What an environment is, not where it is: the one that is built again has the same.
CONSTANTS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    functools.partial,
    CountedMethod,
    type,
    Enum,
    EnvSpec,
    np.dtype,
)
DESCRIPTIONS = {"metadata", "_metadata"}


def environment_state(envs: VectorEnv[Any, Any, Any]) -> dict[str, Any]:
    """Take the state of a vector environment, with its wrappers, environments and spaces.

    Every attribute must be data: numbers, strings, arrays, random generators, containers of them.
    An environment that is more (a physics engine, another process) says itself what its state is,
    by the methods `get_state()` and `set_state(state)`, where the state is data.

    Args:
        envs: The environment.

    Raises:
        NotPlainError: If an attribute is not data, naming it.

    Examples:
        ```python
        import numpy as np
        from tamiyo_rl.training import make_cartpole_without_velocities
        from tamiyo_rl.training.envs.state import environment_state, restore_environment

        envs = make_cartpole_without_velocities(3)
        envs.reset(seed=0)
        saved = environment_state(envs)
        after = [envs.step(np.ones(3, dtype=np.int64))[0] for _ in range(50)]

        restored = make_cartpole_without_velocities(3)
        restore_environment(restored, saved)
        again = [restored.step(np.ones(3, dtype=np.int64))[0] for _ in range(50)]
        print(np.array_equal(after, again))
        ```

        ```text
        True
        ```
    """
    return {path: _layer_state(path, layer) for path, layer in _layers("envs", envs, set())}


def restore_environment(envs: VectorEnv[Any, Any, Any], state: dict[str, Any]) -> None:
    """Put a state back into a vector environment that was built alike.

    Args:
        envs: The environment.
        state: What `environment_state` returned.

    Raises:
        ValueError: If the environment is built otherwise; it is unchanged then.
    """
    layers = dict(_layers("envs", envs, set()))
    if layers.keys() != state.keys():
        different = sorted(layers.keys() ^ state.keys())
        raise ValueError(
            f"envs: expected the environments of the checkpoint, got others ({different[0]})."
        )
    decoded = {path: decode(saved) for path, saved in state.items()}
    for path, layer in layers.items():
        _restore_layer(layer, decoded[path])


def _layers(path: str, layer: Layer, seen: set[int]) -> Iterator[tuple[str, Layer]]:
    """Yield the layer and those it holds, each once, by path."""
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield path, layer
    if _speaks_for_itself(layer):
        return
    for name, value in sorted(vars(layer).items()):
        for key, held in _held(value):
            yield from _layers(f"{path}.{name}{key}", held, seen)


def _held(value: Any) -> list[tuple[str, Layer]]:
    """Return the layers that an attribute is or contains."""
    if isinstance(value, gymnasium.Env | VectorEnv | gymnasium.Space):
        return [("", value)]
    if isinstance(value, list | tuple):
        return [(f"[{i}]{key}", v) for i, part in enumerate(value) for key, v in _held(part)]
    if isinstance(value, dict):
        return [(f"[{k!r}]{key}", v) for k, part in value.items() for key, v in _held(part)]
    return []


def _speaks_for_itself(layer: Layer) -> bool:
    return all(callable(getattr(type(layer), name, None)) for name in ("get_state", "set_state"))


def _layer_state(path: str, layer: Layer) -> Any:
    if _speaks_for_itself(layer):
        return _encode_named(f"{path}.get_state()", layer.get_state())  # type: ignore[union-attr]  # it speaks for itself
    return {
        "kind": "dict",
        "value": [[name, _encode_named(f"{path}.{name}", own)] for name, own in _changing(layer)],
    }


def _changing(layer: Layer) -> list[tuple[str, Any]]:
    """Return the attributes that can change, without the layers held and what is constant."""
    own = vars(layer).items()
    if isinstance(layer, gymnasium.Space):
        return [(name, value) for name, value in own if isinstance(value, np.random.Generator)]
    return [(n, value) for n, value in own if n not in DESCRIPTIONS and not _is_fixed(value)]


def _is_fixed(value: object) -> bool:
    items = value if isinstance(value, list | tuple) and value else [value]
    return bool(_held(value)) or all(isinstance(item, CONSTANTS) for item in items)


def _encode_named(name: str, value: Any) -> Any:
    try:
        return encode(value)
    except NotPlainError as error:
        raise NotPlainError(f"{name}: {error}") from error


def _restore_layer(layer: Layer, state: Any) -> None:
    if _speaks_for_itself(layer):
        layer.set_state(state)  # type: ignore[union-attr]  # it speaks for itself
        return
    for name, _ in _changing(layer):
        if name not in state:
            delattr(layer, name)
    vars(layer).update(state)
