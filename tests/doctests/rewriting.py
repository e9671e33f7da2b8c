"""A writer that puts the printed outputs into the documentation."""

from pathlib import Path
from typing import NamedTuple

from sybil import Example
from sybil.example import SybilFailure

from tests.doctests.examples import Block

# These would end the fence, or the docstring, or change their meaning in it.
UNWRITABLE = {".md": ("```",), ".py": ("```", '"""', "'''", "\\")}


class Edit(NamedTuple):
    """A piece of a file, and what takes its place."""

    start: int
    end: int
    text: str


class Rewriter:
    """Collects the outputs of a run, and writes them once no position in a file is needed."""

    def __init__(self) -> None:
        self._edits: dict[Path, dict[int, Edit]] = {}

    def record(self, example: Example, printed: str) -> None:
        """Keep what an example printed."""
        path = Path(example.path)
        edit = _make_edit(example, printed)
        if any(mark in printed for mark in UNWRITABLE[path.suffix]):
            raise SybilFailure(example, f"cannot be written by --rewrite-outputs:\n{printed}")
        edits = self._edits.setdefault(path, {})
        if edits.setdefault(edit.start, edit) != edit:
            raise SybilFailure(example, f"prints something else on another device:\n{printed}")

    def apply(self) -> None:
        """Write each file once, from its end, so that no edit moves another."""
        for path, edits in self._edits.items():
            text = path.read_text("utf-8")
            for edit in sorted(edits.values(), reverse=True):
                text = text[: edit.start] + edit.text + text[edit.end :]
            path.write_text(text, "utf-8")


def _make_edit(example: Example, printed: str) -> Edit:
    block: Block = example.parsed
    lines = ["```text", *printed.split("\n")[:-1], "```"]
    text = "\n".join(f"{block.indent}{line}" if line else "" for line in lines)
    end = example.region.start + block.end
    if block.output_end is None:
        return Edit(end, end, f"\n\n{text}")
    return Edit(end, example.region.start + block.output_end, f"\n\n{text}")
