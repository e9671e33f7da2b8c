"""A second device that any machine can have: CPU memory, and an error where two devices meet.

`register()` gives PyTorch the device "strict". It finds code that is tied to the CPU; it says
nothing about the numbers or the kernels of a GPU.
"""

import functools

import torch
from torch.utils.backend_registration import (
    generate_methods_for_privateuse1_backend,
    rename_privateuse1_backend,
)

from tests.strict_device import kernels, module
from tests.strict_device.building import build, has_compiler

__all__ = ["has_compiler", "register"]


@functools.cache
def register() -> None:
    """Build the device if it is not yet built, and give it to PyTorch for good."""
    torch.ops.load_library(build())
    rename_privateuse1_backend("strict")
    torch._register_device_module("strict", module)
    generate_methods_for_privateuse1_backend()
    kernels.register()
