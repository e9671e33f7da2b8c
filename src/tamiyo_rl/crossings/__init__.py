"""The catalogue of crossings: each a small function that runs on the machine at hand."""

from tamiyo_rl.crossings.catalogue import CATALOGUE, Crossing
from tamiyo_rl.crossings.families import (
    aliases,
    arguments,
    cores,
    distributed,
    hidden,
    learned_initial,
    losses,
    modes,
    modules,
    recomputation,
)
from tamiyo_rl.crossings.observe import Observation, observe

# Importing a module enters its crossings.
_MODULES = (
    aliases,
    arguments,
    cores,
    distributed,
    hidden,
    learned_initial,
    losses,
    modes,
    modules,
    recomputation,
)
FAMILIES = tuple(module.__name__.rpartition(".")[2].replace("_", "-") for module in _MODULES)

__all__ = ["CATALOGUE", "FAMILIES", "Crossing", "Observation", "observe"]
