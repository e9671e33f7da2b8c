"""What the tools of this package say about a training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from torch import nn

import tamiyo_rl
from benchmarks.silent_bugs.case import Batch, Builder, Losses, Training, train
from tamiyo_rl import (
    ContractError,
    GradientReport,
    InferenceTensorWarning,
    audit_backward,
    audit_gradients,
    check_consistency,
    check_ratio,
    guard_training_inputs,
    trace_crossings,
)


def audit(build: Builder) -> Iterator[str]:
    """Run the audit of each loss before `backward()`, and of the gradients after it."""
    training = build()
    for batch in training.batches:
        losses = training.losses(batch)
        yield from _audited_terms(training, losses)
        training.apply(losses.total())
        yield from _problems(audit_backward(training.module))


def _audited_terms(training: Training, losses: Losses) -> Iterator[str]:
    try:
        report = audit_gradients(losses.terms, training.module, optimizer=training.optimizer)
    except TypeError as error:
        yield str(error)
    else:
        yield from _problems(report)


def _problems(report: GradientReport) -> Iterator[str]:
    yield from report.problems


def consistency(build: Builder) -> Iterator[str]:
    """Compare new and old before the first update of each rollout, and check the ratio."""
    training = build()
    for batch in training.batches:
        losses = training.losses(batch)
        if losses.first:
            yield from _refused(losses)
        training.apply(losses.total())


def _refused(losses: Losses) -> Iterator[str]:
    log_prob, old_log_prob = losses.new["log_prob"], losses.old["log_prob"]
    try:
        check_consistency(losses.new, losses.old, mask=losses.mask)
        check_ratio((log_prob - old_log_prob).exp(), log_prob, mask=losses.mask)
    except ContractError as error:
        yield str(error)


def guard(build: Builder) -> Iterator[str]:
    """Guard the forward pass."""
    training = build()

    @guard_training_inputs
    def losses(module: nn.Module, batch: Batch) -> Losses:
        return training.losses(batch)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InferenceTensorWarning)
        try:
            for batch in training.batches:
                training.apply(losses(training.module, batch).total())
        except ContractError as error:
            yield str(error)
    yield from (str(w.message) for w in caught if w.category is InferenceTensorWarning)


def trace(build: Builder) -> Iterator[str]:
    """Trace the inference tensors; a note says where one was made that PyTorch refuses."""
    try:
        with trace_crossings():
            train(build())
    except RuntimeError as error:
        yield from getattr(error, "__notes__", ())


def watch(build: Builder) -> Iterator[str]:
    """Watch the loop."""
    training = build()
    watching: Any = getattr(tamiyo_rl, "watch_training", None)
    with watching(training.module) as watched:
        for batch in training.batches:
            losses = training.losses(batch)
            if losses.first:
                watched.compare(losses.new, losses.old, mask=losses.mask)
            training.apply(losses.total())
    yield from (f"{finding.rule}: {finding}" for finding in watched.report.problems)
