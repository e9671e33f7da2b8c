"""The catalogue of crossings: each a small function that runs on the machine at hand."""

from tamiyo_rl.crossings.catalogue import CATALOGUE, Crossing
from tamiyo_rl.crossings.families import (  # noqa: F401 - importing a family enters its crossings
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

FAMILIES = tuple(dict.fromkeys(crossing.family for crossing in CATALOGUE.values()))

__all__ = ["CATALOGUE", "FAMILIES", "Crossing", "Observation", "observe"]
