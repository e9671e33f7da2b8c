"""The parts of a space that holds other spaces."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium import spaces


def parts_of(space: spaces.Dict | spaces.Tuple[Any]) -> list[tuple[Any, gymnasium.Space[Any]]]:
    """List the parts of a space by their keys or places."""
    return list(space.items() if isinstance(space, spaces.Dict) else enumerate(space))
