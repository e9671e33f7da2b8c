"""`tamiyo-rl export`: a trained policy as a program that runs without this package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from tamiyo_rl.cli.progress import say
from tamiyo_rl.training.runs.checkpoint import load_checkpoint_policy
from tamiyo_rl.training.runs.export import export_policy
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.runs.policy import SavedPolicy, load_policy


@dataclass
class Export:
    """Write a trained policy as a program, with the normalisation of its features inside.

    Attributes:
        run: Folder of a run, finished or not, whose newest checkpoint is written; or a saved
            policy, such as policy.pt.
        to: The file, which ends in .onnx, or in .pt2 for torch.export; policy.onnx in the folder of
            the run or of the policy by default.
        masks: Whether the program takes a mask for each head.
    """

    run: tyro.conf.Positional[Path]
    to: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    masks: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False

    def __call__(self, console: Console) -> None:
        """Write the file."""
        folder = self.run.parent if self.run.is_file() else self.run
        path = self.to or folder / "policy.onnx"
        export_policy(path, self._load(), masks=self.masks)
        say(console, f"wrote {path}")

    def _load(self) -> SavedPolicy:
        if self.run.is_file():
            return load_policy(self.run)
        return load_checkpoint_policy(RunFolder(self.run).require_checkpoint())
