"""Generated bad input, and the property of every public call: a result, or an error of ours."""

import re
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import nn

import tamiyo_rl
from tamiyo_rl import ContractError, InferenceTensorWarning, MissingHiddenWarning

R = TypeVar("R")

OURS = str(Path(tamiyo_rl.__file__).parent)
DTYPES = [
    *(torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e5m2),
    *(torch.int64, torch.int32, torch.int8, torch.uint8, torch.uint16, torch.uint64, torch.bool),
    *(torch.complex64, torch.bits8, torch.float4_e2m1fn_x2),
]


def stable(max_examples: int) -> settings:
    """Draw the same examples in every run, on a slow machine too."""
    return settings(
        max_examples=max_examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def result_or_our_error(
    call: Callable[[], R],
    names: Iterable[str],
    state: Callable[[], object] = lambda: None,
) -> R | None:
    """Return the result of `call`, or None if it raised an error of ours and changed nothing."""
    before = state()
    generator = torch.get_rng_state()
    raised: Exception
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InferenceTensorWarning)
            warnings.simplefilter("ignore", MissingHiddenWarning)
            return call()
    except (TypeError, ValueError, ContractError) as error:
        raised = error
    assert traceback.extract_tb(raised.__traceback__)[-1].filename.startswith(OURS), raised
    assert isinstance(raised, ContractError) or _names_one_of(names, str(raised)), raised
    assert state() == before
    assert torch.equal(torch.get_rng_state(), generator)
    return None


def _names_one_of(names: Iterable[str], message: str) -> bool:
    named = rf"({'|'.join(map(re.escape, names))})\b[^:]*: expected .*got "
    return re.match(named, message, re.DOTALL) is not None


def values_of(module: nn.Module | tamiyo_rl.LSTMPolicyBundle) -> list[object]:
    """Return all that a failed call must not change, as plain values."""
    return [
        (name, tensor.tolist(), tensor.dtype, tensor.device)
        for name, tensor in module.state_dict().items()
    ]


class Subclass(torch.Tensor):
    """A tensor of another class."""


JUNK: list[Any] = [
    *(None, True, False, -1, 0, 1, 2**40, 2**70, 0.5, float("nan"), float("inf"), 1j, "", "cpu"),
    *([], (), {}, set(), [None], [[1.0]], {"op": 1}, {0: 1}, b"bytes", object(), int, nn.Linear),
    *(np.zeros(3), np.array(2), np.array(0.5), np.array(["a"]), np.array([None]), iter(())),
    *(torch.tensor(1), torch.zeros(2), nn.Identity(), lambda: None),
]


def junk() -> st.SearchStrategy[Any]:
    """Draw a value of any type that is not a good tensor."""
    return st.sampled_from(JUNK)


def _filled(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def poison(tensor: torch.Tensor) -> torch.Tensor:
        poisoned = tensor.clone()
        poisoned.view(-1)[-1] = value
        return poisoned

    return poison


def _as_inference(tensor: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return tensor.clone()


TAMPERINGS: list[Callable[[torch.Tensor], torch.Tensor]] = [
    *(lambda t, dtype=dtype: t.to(dtype) for dtype in DTYPES),
    *(lambda t, dtype=dtype: torch.empty(t.shape, dtype=dtype) for dtype in DTYPES[-2:]),
    *map(_filled, (float("nan"), float("inf"), -1, 0, 1, 2, 1e30, 2**33)),
    torch.zeros_like,
    *(lambda t: t.to("meta"), _as_inference, lambda t: t.clone().requires_grad_(), nn.Parameter),
    *(
        lambda t: t[:-1],
        lambda t: t[:0],
        lambda t: t[0],
        lambda t: t[..., None],
        lambda t: t[..., 1:],
    ),
    *(lambda t: t.mT, lambda t: t.mT.contiguous().mT, lambda t: t[:1].expand(t.shape)),
    *(lambda t: torch.cat([t, t]), lambda t: t[..., :1].expand(t.shape), torch.conj),
    *(torch.Tensor.to_sparse, torch.Tensor.to_sparse_csr, torch.Tensor.to_mkldnn),
    lambda t: torch.nested.nested_tensor(list(t)),
    lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.quint8),
    *(lambda t: t.as_subclass(Subclass), lambda _: nn.UninitializedParameter()),
]


ARRAY_TAMPERINGS: list[Callable[[Any], Any]] = [
    *(lambda a: a[:-1], lambda a: a[:0], lambda a: a[0], lambda a: a[..., None]),
    *(lambda a: a + 4, lambda a: a - 1, lambda a: a * 1.0, lambda a: a * 1j, lambda a: a * np.nan),
    *(lambda a, kind=kind: a.astype(kind) for kind in (str, object, np.longdouble, "M8[s]", "u8")),
    *(np.ndarray.tolist, torch.tensor, lambda a: torch.tensor(a).float().requires_grad_()),
    lambda a: torch.tensor(a).to("meta"),
]


def each_change(good: Any) -> Iterator[Any]:
    """Yield the good arguments after each change at each place of their nesting."""
    yield from JUNK
    if not isinstance(good, dict | tuple):
        for tamper in tamperings_of(good):
            yield from _changed(good, [tamper])
        return
    parts = dict(good) if isinstance(good, dict) else dict(enumerate(good))
    for key, part in parts.items():
        changes = [{**parts, key: change} for change in each_change(part)]
        changes += [{k: v for k, v in parts.items() if k != key}, {**parts, "more": part}]
        yield from changes if isinstance(good, dict) else (tuple(c.values()) for c in changes)


@st.composite
def tampered(draw: st.DrawFn, good: Any) -> Any:
    """Draw a tensor or an array that is one or two changes away from a good one."""
    tampers = st.lists(st.sampled_from(tamperings_of(good)), min_size=1, max_size=2)
    return next(_changed(good, draw(tampers)), good)


def tamperings_of(good: Any) -> list[Callable[[Any], Any]]:
    return TAMPERINGS if isinstance(good, torch.Tensor) else ARRAY_TAMPERINGS


def _changed(good: Any, tampers: list[Callable[[Any], Any]]) -> Iterator[Any]:
    """Yield the tampered value, or nothing if a change does not fit this kind of value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns that nested tensors are a prototype
        try:
            for tamper in tampers:
                good = tamper(good)
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
            return
    yield good


@st.composite
def tampered_anywhere(draw: st.DrawFn, good: Any) -> Any:
    """Draw the good arguments after a change at one place of their nesting."""
    if not isinstance(good, dict | tuple):
        return draw(st.one_of(tampered(good), tampered(good), junk()))
    how = draw(st.sampled_from(["inside", "inside", "inside", "junk", "drop", "add"]))
    if how == "junk" or not good:
        return draw(junk())
    parts = dict(good) if isinstance(good, dict) else dict(enumerate(good))
    key = draw(st.sampled_from(list(parts)))
    if how == "inside":
        parts[key] = draw(tampered_anywhere(parts[key]))
    elif how == "drop":
        del parts[key]
    else:
        parts[draw(st.sampled_from(["more", 7, None, "op"]))] = parts[key]
    return parts if isinstance(good, dict) else tuple(parts.values())
