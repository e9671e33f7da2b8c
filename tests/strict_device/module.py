"""The module `torch.strict`: what PyTorch asks of a device's module, by these names."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def is_available() -> bool:
    """Tell that there is such a device."""
    return True


def is_initialized() -> bool:
    """Tell that it is ready."""
    return True


def device_count() -> int:
    """Count the devices."""
    return 1


def current_device() -> int:
    """Return the index of the one device."""
    return 0


def device(device: torch.device | int | str) -> AbstractContextManager[None]:
    """Make a device the current one, as it is already."""
    return nullcontext()


def synchronize(device: torch.device | int | str | None = None) -> None:
    """Wait for nothing: each operation has ended when it returns."""


def get_amp_supported_dtype() -> list[torch.dtype]:
    """Return the dtypes of autocast."""
    return [torch.bfloat16, torch.float16]


def _is_in_bad_fork() -> bool:
    return False


def manual_seed_all(seed: int) -> None:
    """Seed the generator of the device; torch.manual_seed() calls this."""
    _generator().manual_seed(seed)


def get_rng_state(device: torch.device | int | str = "strict") -> Tensor:
    """Return the state of the generator, on the CPU."""
    return _generator().get_state()


def set_rng_state(new_state: Tensor, device: torch.device | int | str = "strict") -> None:
    """Put back what get_rng_state() returned."""
    _generator().set_state(new_state)


def get_rng_state_all() -> list[Tensor]:
    """Return the state of the generator of each device."""
    return [get_rng_state()]


def set_rng_state_all(new_states: Iterable[Tensor]) -> None:
    """Put back what get_rng_state_all() returned."""
    for state in new_states:
        set_rng_state(state)


def _generator() -> torch.Generator:
    generator: torch.Generator = torch.ops.strict.default_generator()
    return generator
