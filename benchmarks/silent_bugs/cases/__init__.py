"""The cases by family; importing this package fills the list."""

from benchmarks.silent_bugs.cases import (
    modes,
    modules,
    optimizers,
    recurrent,
    rollouts,
    terms,
)

__all__ = ["modes", "modules", "optimizers", "recurrent", "rollouts", "terms"]
