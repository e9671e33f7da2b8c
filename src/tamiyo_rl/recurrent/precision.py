"""The floating point type in which a recurrent kernel computes, which autocast may change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_map


def _onednn_lacks_bfloat16() -> bool:
    """Tell whether oneDNN is available but cannot compute in bfloat16, as without AVX-512."""
    if not torch.backends.mkldnn.is_available():
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


ONEDNN_LACKS_BFLOAT16 = _onednn_lacks_bfloat16()


def compute_dtype(weight: torch.Tensor) -> torch.dtype:
    """Return the type in which a kernel computes with `weight`: that of autocast if it is on."""
    kind = weight.device.type
    is_cast = kind != "meta" and torch.is_autocast_enabled(kind) and weight.dtype != torch.float64
    return torch.get_autocast_dtype(kind) if is_cast else weight.dtype


def run_where_supported(
    run: Callable[[Any, Any], tuple[Any, Any]],
    inputs: Any,
    state: Any,
    weight: torch.Tensor,
    *,
    by_onednn: bool,
) -> tuple[Any, Any]:
    """Return `run(inputs, state)`, computed in float32 where the CPU lacks autocast's bfloat16.

    Autocast hands oneDNN a float32 LSTM in bfloat16, and oneDNN raises where the CPU has no kernel
    for it. PyTorch's own GRU for the CPU mixes both types under autocast. The outputs are bfloat16
    nevertheless, so that no type depends on the CPU or on the kernel.

    Args:
        run: Takes inputs and a state, returns outputs and the state after them.
        inputs: The inputs of the layer.
        state: A tensor, a tuple of tensors, or None.
        weight: Any weight of the layer.
        by_onednn: Whether oneDNN has a kernel for the layer.
    """
    is_float32 = weight.is_cpu and weight.dtype == torch.float32
    has_kernel = by_onednn and not ONEDNN_LACKS_BFLOAT16
    if has_kernel or not is_float32 or compute_dtype(weight) != torch.bfloat16:
        return run(inputs, state)
    with torch.autocast("cpu", enabled=False):
        outputs, after = run(inputs.to(torch.float32), _cast(state, torch.float32))
    return outputs.to(torch.bfloat16), _cast(after, torch.bfloat16)


def _cast(state: Any, dtype: torch.dtype) -> Any:
    """Return a state of the same kind in another type."""
    return tree_map(lambda part: None if part is None else part.to(dtype), state)
