"""Runs the cases under the tools, and sums up what they said."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

import tamiyo_rl
from benchmarks.silent_bugs import others, ours
from benchmarks.silent_bugs.case import Builder, Case, train

Tool = Callable[[Builder], Iterable[str]]
OURS: Mapping[str, Tool] = {
    "audit": ours.audit,
    "consistency": ours.consistency,
    "guard": ours.guard,
    "tracer": ours.trace,
    "watch": ours.watch,
}
OTHERS: Mapping[str, Tool] = {
    "torch-audit": others.torch_audit,
    "torchtest2": others.torchtest2,
    "torchdiag": others.torchdiag,
}
TOOLS = {**OURS, **OTHERS}
ROOT = str(Path(__file__).parents[2]) + "/"
MOST = 4  # findings of a tool that the record keeps
ENDS = {"mistake": True, "mended": False}


def installed(tool: str) -> bool:
    """Tell whether a tool can be run here."""
    if tool == "watch":
        return hasattr(tamiyo_rl, "watch_training")
    return tool in OURS or find_spec(tool.replace("-", "_")) is not None


def run_case(case: Case, tools: Iterable[str]) -> dict[str, Any]:
    """Run a case and its twin, with no tool and with each of them."""
    return {
        "id": case.id,
        "pytorch": {end: pytorch_says(case, mistake=mistake) for end, mistake in ENDS.items()},
        "tools": {
            tool: {end: tool_says(case, tool, mistake=mistake) for end, mistake in ENDS.items()}
            for tool in tools
        },
    }


def pytorch_says(case: Case, *, mistake: bool) -> list[str]:
    """Return the errors and the warnings of PyTorch."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        errors = _errors(lambda: train(_builder(case, mistake=mistake)()))
    return [*dict.fromkeys(_short(f"warning: {found.message}") for found in caught), *errors]


def _errors(call: Callable[[], None]) -> list[str]:
    try:
        call()
    except RuntimeError as error:
        return [_short(f"error: {error}")]
    return []


def tool_says(case: Case, tool: str, *, mistake: bool) -> list[str]:
    """Return what a tool finds, each finding once."""
    found: dict[str, None] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for text in TOOLS[tool](_builder(case, mistake=mistake)):
                found[_short(text)] = None
        except RuntimeError as error:  # PyTorch's, which ends the training
            if not pytorch_says(case, mistake=mistake):
                raise RuntimeError(f"{tool} stops {case.id}, which PyTorch does not") from error
    return list(found)[:MOST]


def _builder(case: Case, *, mistake: bool) -> Builder:
    torch.manual_seed(0)
    return lambda: case.build(mistake=mistake)


def _short(text: str) -> str:
    """Return the text in one line, without the folder of this machine."""
    return " ".join(text.replace(ROOT, "").split())[:300]


def noticed(said: Mapping[str, list[str]]) -> bool:
    """Tell whether something is said of the mistake that is not said of its twin."""
    return bool(set(said["mistake"]) - set(said["mended"]))


def notice(row: Mapping[str, Any], tools: Iterable[str] = OURS) -> list[str]:
    """Return which of these tools notice the mistake of a case."""
    return [tool for tool in tools if tool in row["tools"] and noticed(row["tools"][tool])]


def alarm(row: Mapping[str, Any], tools: Iterable[str] = OURS) -> list[str]:
    """Return which of these tools accuse the mended twin."""
    return [tool for tool in tools if row["tools"].get(tool, {}).get("mended")]
