"""Indices of a discrete space, counted from 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def indices(
    path: str, values: NDArray[Any], start: int | NDArray[Any], n: int | NDArray[Any]
) -> NDArray[Any]:
    """Count the values from 0, or raise if a value is out of range: NumPy takes -1 for the last."""
    first = np.asarray(start, dtype=np.int64)
    indices: NDArray[Any] = values.astype(np.int64) - first
    wrong = indices.view(np.uint64) >= np.asarray(n, dtype=np.uint64)  # -1 is the largest there
    if wrong.any():
        last = first + (np.asarray(n, dtype=np.int64) - 1)
        place = tuple(np.argwhere(wrong)[0].tolist())
        least, most = (np.broadcast_to(end, values.shape)[place] for end in (first, last))
        raise ValueError(
            f"{path}: expected indices from {least} to {most}, got {values[place]} at index "
            f"{list(place)}."
        )
    return indices
