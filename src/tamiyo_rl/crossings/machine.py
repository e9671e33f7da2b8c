"""Abilities of the CPU at hand, which decide what PyTorch does under autocast."""

from __future__ import annotations

from typing import Any

import torch


def onednn_has_bfloat16() -> bool:
    """Tell whether oneDNN computes in bfloat16 here: on x86-64 it needs AVX-512."""
    if not torch.backends.mkldnn.is_available():
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def describe_cpu() -> dict[str, Any]:
    """Return the vector instructions that PyTorch uses here, and whether oneDNN has bfloat16."""
    return {
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "onednn_bfloat16": onednn_has_bfloat16(),
    }
