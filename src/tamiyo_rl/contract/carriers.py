"""What PyTorch's errors about inference tensors do not say: which arguments hold them."""

from __future__ import annotations

from collections.abc import Mapping

from tamiyo_rl.contract.search import find_inference_tensors
from tamiyo_rl.contract.trace import is_of_a_crossing
from tamiyo_rl.contract.wording import listed

_MOST_PATHS = 8  # that a note names
_NOTED = "inference tensors among the arguments of"


def note_carriers(error: RuntimeError, method: str, arguments: Mapping[str, object]) -> None:
    """Add to an error about inference tensors where the arguments of a call hold them (C4).

    A call may hold inference tensors inside objects of any class, which nothing can replace there,
    and which right code copies from. So nothing is said before PyTorch has raised.
    """
    if not is_of_a_crossing(error) or _NOTED in "".join(getattr(error, "__notes__", ())):
        return
    found = find_inference_tensors(**arguments)
    if found:
        error.add_note(
            f"{_NOTED} {method}():\n  {listed(list(found), most=_MOST_PATHS)}"
            "\n  do: clone() them outside inference mode, where they are stored"
        )
