"""Figures as SVG files, one for the light scheme of the site and one for the dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = {"light": "#1f2328", "dark": "#e6e8eb"}
INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")


def save_svgs(
    folder: Path, name: str, size: tuple[float, float], draw: Callable[[Axes, str], None]
) -> None:
    """Save `name-light.svg` and `name-dark.svg`, with the same bytes for the same drawing.

    Args:
        folder: Folder of the files.
        name: Name of the figure.
        size: Width and height in inches.
        draw: Draws into the axes, given the scheme.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for scheme, ink in INK.items():
        settings: Any = {"svg.hashsalt": name, "svg.fonttype": "none", **dict.fromkeys(INKED, ink)}
        with mpl.rc_context(settings):
            figure = Figure(figsize=size, layout="constrained")
            axes = figure.add_subplot()
            axes.spines[["top", "right"]].set_visible(False)
            draw(axes, scheme)
            metadata = {"Date": None, "Creator": None}
            figure.savefig(folder / f"{name}-{scheme}.svg", transparent=True, metadata=metadata)
