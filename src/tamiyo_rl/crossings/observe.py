"""Run one crossing: what PyTorch does with it, and which tools notice."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from tamiyo_rl.contract.audit import audit_backward, audit_gradients
from tamiyo_rl.contract.consistency import check_ratio
from tamiyo_rl.contract.guard import ContractError, InferenceTensorWarning
from tamiyo_rl.contract.trace import trace_crossings
from tamiyo_rl.crossings.catalogue import Crossing, Run
from tamiyo_rl.crossings.lab import Lab


@dataclass(frozen=True)
class Observation:
    """What was seen of a crossing on this machine.

    Attributes:
        id: Of the crossing.
        seen: PyTorch's outcome, `unsupported`, or `crashed`.
        noticed_by: The tools that noticed it.
        flagged: Whether `is_inference()` of the training call's arguments is enough to tell.
        marked: Whether a Python marker on rollout tensors is enough to tell.
        error: The first line of PyTorch's error.
    """

    id: str
    seen: str
    noticed_by: tuple[str, ...] = ()
    flagged: bool = False
    marked: bool = False
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def observe(case: Crossing, device: str) -> Observation:
    """Run a crossing against its reference, then under the tools."""
    with torch.device(device):
        lab = _lab(case)
        try:
            with trace_crossings(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                train(lab, case.run)
        except Exception as error:  # noqa: BLE001 - an outcome, whatever it is
            if _unsupported(error):
                return Observation(case.id, "unsupported", error=_first_line(error))
            traced = ("trace",) if hasattr(error, "__notes__") else ()
            noticed = (*noticing(case), *traced)
            seen = f"raises {lab.phase}"
            message = _first_line(error)
        else:
            seen = "fine" if _same(lab, _reference(case)) else "silently wrong"
            noticed = noticing(case)
            message = ""
        return Observation(case.id, seen, noticed, lab.flagged, lab.marked, message)


def train(lab: Lab, run: Run) -> None:
    """Build the loss, differentiate it, and take a step."""
    terms = run(lab)
    _backward(lab, terms)
    with lab.during("in step"):
        lab.optimizer.step()


def noticing(case: Crossing) -> tuple[str, ...]:
    """Run a crossing with the guard, the audit and the check of the ratio; name who notices."""
    lab = _lab(case, guarded=True)
    tools = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            terms = case.run(lab)
            tools += _audited(lab, terms)
            _backward(lab, terms)
            if audit_backward(lab.policy, untouched=lab.untouched).problems:
                tools.append("backward")
        except ContractError:
            tools.insert(0, "guard")
        except Exception:  # noqa: BLE001, S110 - PyTorch's own error is the outcome of the plain run
            pass
    if any(issubclass(warning.category, InferenceTensorWarning) for warning in caught):
        tools.insert(0, "guard")
    return tuple(dict.fromkeys(tools))


def _audited(lab: Lab, terms: Mapping[str, torch.Tensor]) -> list[str]:
    tools = []
    if terms:
        report = audit_gradients(
            terms, lab.policy, untouched=lab.untouched, optimizer=lab.optimizer
        )
        tools += ["audit"] if report.problems else []
    if lab.ratio is not None and lab.log_prob is not None:
        try:
            check_ratio(lab.ratio, lab.log_prob)
        except ContractError:
            tools.append("ratio")
    return tools


def _backward(lab: Lab, terms: Mapping[str, torch.Tensor]) -> None:
    if terms:  # a crossing about backward itself has made it
        with lab.during("in backward"):
            torch.stack([term.sum() for term in terms.values()]).sum().backward()


def _lab(case: Crossing, *, guarded: bool = False) -> Lab:
    return Lab(learned=case.learned, core=case.core, guarded=guarded)


def _reference(case: Crossing) -> Lab:
    lab = _lab(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(lab, case.reference)
    return lab


def _same(lab: Lab, reference: Lab) -> bool:
    """Tell whether all gradients, and all parameters after the step, are the reference's."""
    pairs = zip(lab.policy.parameters(), reference.policy.parameters(), strict=True)
    return all(_close(a, b) and _close(a.grad, b.grad) for a, b in pairs)


def _close(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return torch.allclose(a, b, rtol=1e-3, atol=1e-5)


def _unsupported(error: Exception) -> bool:
    """Tell whether this version of PyTorch lacks what the crossing needs."""
    missing = isinstance(error, AttributeError) and str(error).startswith("module 'torch")
    return missing or isinstance(error, NotImplementedError)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
