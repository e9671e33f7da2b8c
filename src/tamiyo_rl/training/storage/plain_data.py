"""Python values as tensors, numbers and strings, and back: what a file may hold and run nothing."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch


class NotPlainError(ValueError):
    """A value is more than data, so that it cannot be saved and put back."""


def encode(value: Any) -> Any:
    """Turn a value into tensors, numbers, strings, lists and dicts.

    Arrays keep their dtype and memory order, random generators their state.

    Args:
        value: Numbers, strings, arrays, tensors, random generators, and containers of them.

    Raises:
        NotPlainError: If it holds anything else.

    Examples:
        ```python
        import numpy as np
        from tamiyo_rl.training.storage.plain_data import decode, encode

        generator = np.random.default_rng(0)
        saved = encode({"rng": generator, "deck": [1, 2]})
        drawn = generator.random()
        print(decode(saved)["rng"].random() == drawn)
        ```

        ```text
        True
        ```
    """
    if value is None or type(value) in {bool, int, float, str}:
        return value
    kind = type(value).__name__
    if kind in CODECS and type(value) is CODECS[kind][0]:
        return {"kind": kind, "value": CODECS[kind][1](value)}
    if isinstance(value, np.generic):
        return {"kind": "scalar", "value": _encode_array(np.asarray(value))}
    raise NotPlainError(f"expected data, got {kind}")


def decode(saved: Any) -> Any:
    """Turn what `encode` returned into the value again."""
    if not isinstance(saved, dict):
        return saved
    if saved["kind"] == "scalar":
        return _decode_array(saved["value"])[()]
    return CODECS[saved["kind"]][2](saved["value"])


def _encode_array(array: np.ndarray[Any, Any]) -> torch.Tensor | dict[str, Any]:
    if array.dtype.kind in "SU":  # text: PyTorch has no such type
        raw = torch.from_numpy(np.frombuffer(array.tobytes(), dtype=np.uint8).copy())
        return {"dtype": array.dtype.str, "shape": list(array.shape), "bytes": raw}
    try:
        return torch.from_numpy(np.array(array, order="K", copy=True))
    except TypeError as error:
        raise NotPlainError(f"expected data, got an array of {array.dtype}") from error


def _decode_array(saved: torch.Tensor | dict[str, Any]) -> np.ndarray[Any, Any]:
    if isinstance(saved, torch.Tensor):
        return saved.numpy()
    return np.frombuffer(saved["bytes"].numpy(), saved["dtype"]).reshape(saved["shape"]).copy()


def _encode_items(items: Any) -> list[Any]:
    return [encode(item) for item in items]


def _decode_items(items: list[Any]) -> list[Any]:
    return [decode(item) for item in items]


def _encode_generator(generator: np.random.Generator) -> dict[str, Any]:
    bits = generator.bit_generator
    if type(bits) is not getattr(np.random, type(bits).__name__, None):
        raise NotPlainError(f"expected a bit generator of NumPy, got {type(bits).__name__}")
    return {"name": type(bits).__name__, "state": encode(dict(bits.state))}


def _decode_generator(saved: dict[str, Any]) -> np.random.Generator:
    if saved["name"] not in {"PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"}:
        raise NotPlainError(f"expected a bit generator of NumPy, got {saved['name']!r}")
    bits = getattr(np.random, saved["name"])()
    bits.state = decode(saved["state"])
    return np.random.Generator(bits)


def _decode_python_random(state: Any) -> random.Random:
    generator = random.Random()  # noqa: S311 - no cryptography
    generator.setstate(decode(state))
    return generator


def _decode_random_state(state: Any) -> np.random.RandomState:
    generator = np.random.RandomState()
    generator.set_state(decode(state))
    return generator


Codec = tuple[type, Callable[[Any], Any], Callable[[Any], Any]]
CODECS: dict[str, Codec] = {
    "list": (list, _encode_items, _decode_items),
    "tuple": (tuple, _encode_items, lambda items: tuple(_decode_items(items))),
    "set": (set, _encode_items, lambda items: set(_decode_items(items))),
    "dict": (
        dict,
        lambda value: [_encode_items(pair) for pair in value.items()],
        lambda pairs: {decode(key): decode(value) for key, value in pairs},
    ),
    "deque": (
        deque,
        lambda value: [value.maxlen, _encode_items(value)],
        lambda saved: deque(_decode_items(saved[1]), maxlen=saved[0]),
    ),
    "ndarray": (np.ndarray, _encode_array, _decode_array),
    "Tensor": (torch.Tensor, lambda tensor: tensor.detach().clone(), lambda tensor: tensor.clone()),
    "Generator": (np.random.Generator, _encode_generator, _decode_generator),
    "Random": (
        random.Random,
        lambda value: encode(value.getstate()),
        _decode_python_random,
    ),
    "RandomState": (
        np.random.RandomState,
        lambda value: encode(value.get_state()),
        _decode_random_state,
    ),
}
