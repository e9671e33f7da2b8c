"""Draw the learning curve of the tutorial: ``python -m tools.curves``.

`tutorial.csv` holds two columns of the `log.csv` of `tamiyo-rl train runs/tutorial`.
"""

import csv
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

RECORD = Path(__file__).with_name("tutorial.csv")
FOLDER = Path("docs/assets/tutorial")
SOLVED = 475
INKED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
# The ink and the line for each scheme.
COLOURS = {"light": ("#1f2328", "#0072b2"), "dark": ("#e6e8eb", "#56b4e9")}


def read_curve(path: Path = RECORD) -> tuple[list[float], list[float]]:
    """Read the steps and the returns, from the first update that has a return."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(float(row["steps"]), float(row["return"])) for row in csv.DictReader(file)]
    return [steps for steps, _ in rows], [value for _, value in rows]


def draw(folder: Path = FOLDER) -> None:
    """Draw the figure for both schemes, the same bytes for the same record."""
    folder.mkdir(parents=True, exist_ok=True)
    for scheme, (ink, line) in COLOURS.items():
        settings: Any = {"svg.hashsalt": "tutorial", "svg.fonttype": "none"}
        with mpl.rc_context(settings | dict.fromkeys(INKED, ink)):
            _draw(line, ink, folder / f"curve-{scheme}.svg")


def _draw(line: str, ink: str, path: Path) -> None:
    steps, returns = read_curve()
    figure = Figure(figsize=(6.0, 3.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([count / 1000 for count in steps], returns, color=line, linewidth=2)
    axes.axhline(SOLVED, color=ink, linestyle=":", linewidth=1)
    axes.annotate(f"solved: {SOLVED}", (0, SOLVED), xytext=(0, 4), textcoords="offset points")
    axes.set(xlabel="environment steps (thousands)", ylabel="mean return, actions sampled")
    axes.set_ylim(0, 520)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    draw()
