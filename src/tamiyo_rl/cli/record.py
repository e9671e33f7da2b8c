"""`tamiyo-rl record`: a video of an episode."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from tamiyo_rl.cli.progress import say
from tamiyo_rl.training.runs.recording import MAX_FRAMES, record_run

# No greeting on standard output, and no look for a screen.
PYGAME = {"PYGAME_HIDE_SUPPORT_PROMPT": "1", "SDL_VIDEODRIVER": "dummy"}
ACTIONS = {True: "the most probable actions", False: "sampled actions"}


@dataclass
class Record:
    """Record an episode of a trained policy as a video, and print its return.

    Attributes:
        run: Folder of a run, finished or not, whose newest checkpoint plays; or a saved policy,
            such as policy.pt.
        video: The file, which ends with .mp4; episode.mp4 in the folder of the run by default.
        env: Gymnasium id of the environment; that of the run by default.
        max_steps: How long the episode may take; its frames are kept in memory.
        stochastic: Whether to sample the actions, as a training does.
        seed: Of the environment and of sampled actions.
    """

    run: tyro.conf.Positional[Path]
    video: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    env: Annotated[str | None, tyro.conf.arg(metavar="STR")] = None
    max_steps: int = MAX_FRAMES
    stochastic: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    seed: int = 1000

    def __call__(self, console: Console) -> None:
        """Record, and print the return."""
        for name, value in PYGAME.items():
            os.environ.setdefault(name, value)
        recorded = record_run(
            self.run,
            self.video,
            env=self.env,
            max_steps=self.max_steps,
            deterministic=not self.stochastic,
            seed=self.seed,
        )
        say(
            console,
            f"wrote {recorded.path}: return {recorded.episode_return:.1f} in {recorded.length:,} "
            f"steps, played with {ACTIONS[recorded.deterministic]}",
        )
