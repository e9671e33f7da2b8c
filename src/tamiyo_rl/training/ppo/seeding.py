"""The states of the random generators that a training may draw from."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from tamiyo_rl.training.distributed import rank


def seed_generators(seed: int) -> None:
    """Seed PyTorch's generator: with one seed, each process draws other numbers.

    Args:
        seed: Of the training, from 0 to 2**63 - 1.
    """
    mixed = np.random.SeedSequence([seed, rank()]).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(mixed) if rank() else seed)


def random_state() -> dict[str, Any]:
    """Return the states of PyTorch's, NumPy's and Python's own generators.

    PyTorch's draws the actions and the order of the minibatches; the others are for environments
    that use them instead of a generator of their own.
    """
    module = _accelerator()
    return {
        "torch": torch.get_rng_state(),
        "accelerator": module.get_rng_state_all() if module else [],
        "numpy": _numpy_state(),
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` returned."""
    torch.set_rng_state(state["torch"])
    if state["accelerator"] and (module := _accelerator()):
        module.set_rng_state_all(state["accelerator"])
    np.random.set_state(state["numpy"])  # noqa: NPY002 - the global generator
    random.setstate(state["python"])


def _numpy_state() -> dict[str, Any]:
    """Return the state of NumPy's global generator as plain data."""
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - the global generator
    inner = {name: np.array(value).tolist() for name, value in state["state"].items()}
    return {**state, "state": inner}


def _accelerator() -> Any:
    """Return the module of the machine's accelerator, such as `torch.cuda`, if it is in use."""
    if not (device := torch.accelerator.current_accelerator(check_available=True)):
        return None
    module = torch.get_device_module(device)
    return module if hasattr(module, "get_rng_state_all") and module.is_initialized() else None
