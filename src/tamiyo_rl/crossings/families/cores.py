"""Other recurrent cores, with the state of the rollout as it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tamiyo_rl.crossings.catalogue import crossing, plain
from tamiyo_rl.crossings.lab import Lab

Terms = Mapping[str, torch.Tensor]


def _raw(lab: Lab) -> Terms:
    return lab.terms(lab.evaluate(state=lab.policy.initial_state()))


def _freeze(lab: Lab) -> None:
    for part in (lab.policy.core, lab.policy.encoder):
        part.requires_grad_(requires_grad=False)


def _frozen(lab: Lab) -> Terms:
    _freeze(lab)
    return plain(lab)


@crossing("raises in forward", "misuse", "guard", "trace", core="gru")
def gru(lab: Lab) -> Terms:
    """`nn.GRU`."""
    return _raw(lab)


@crossing("raises in forward", "misuse", "guard", "trace", core="hand")
def hand_written(lab: Lab) -> Terms:
    """An LSTM written out in Python."""
    return _raw(lab)


@crossing("fine", "correct", core="hand")
def hand_written_none(lab: Lab) -> Terms:
    """An LSTM written out in Python, with no state given."""
    return plain(lab)


@crossing("fine", "breach", "guard", core="hand", reference=_frozen)
def frozen_hand_written(lab: Lab) -> Terms:
    """A frozen encoder and hand-written core: nothing saves the state."""
    _freeze(lab)
    return _raw(lab)


@crossing("fine", "breach", "guard", core="gru", reference=_frozen)
def frozen_gru(lab: Lab) -> Terms:
    """A frozen encoder and `nn.GRU`."""
    _freeze(lab)
    return _raw(lab)


@crossing("fine", "correct", core="gru", reference=_frozen)
def frozen_gru_none(lab: Lab) -> Terms:
    """A frozen encoder and `nn.GRU`, with no state given."""
    _freeze(lab)
    return plain(lab)
