"""Other recurrent cores, with the state of the rollout as it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from tamiyo_rl.crossings.catalogue import crossing, enter, plain
from tamiyo_rl.crossings.lab import BATCH, TIME, Lab, State

Terms = Mapping[str, torch.Tensor]


def _raw(lab: Lab) -> Terms:
    return lab.terms(lab.evaluate(state=lab.policy.initial_state()))


def _cloned(lab: Lab) -> Terms:
    h, c = (part.clone() for part in lab.policy.initial_state())
    return lab.terms(lab.evaluate(state=(h, c)))


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


for core, name, words in (
    ("rnn", "rnn", "`nn.RNN`"),
    ("cells", "cells", "A loop over `nn.LSTMCell`"),
    ("deep", "two-layers", "`nn.LSTM` of two layers"),
):
    raw = f"cores.{name}"
    enter(raw, f"{words}.", _raw, "raises in forward", "misuse", "guard", "trace", core=core)
    cloned = f"{words}, with a cloned state."
    enter(f"{raw}-clone", cloned, _cloned, "fine", "correct", core=core)


@crossing("raises in forward", "misuse", "guard", "trace")
def frozen_lstm(lab: Lab) -> Terms:
    """A frozen `nn.LSTM` behind an encoder that trains."""
    lab.policy.core.requires_grad_(requires_grad=False)
    return _raw(lab)


@crossing("raises in forward", "misuse", "guard", "trace")
def without_onednn(lab: Lab) -> Terms:
    """`nn.LSTM` on PyTorch's own kernels."""
    with torch.backends.mkldnn.flags(enabled=False):
        return _raw(lab)


@crossing("raises in forward", "misuse", "guard", "trace")
def one_step(lab: Lab) -> Terms:
    """A sequence of one step."""
    state = lab.policy.initial_state()
    lab.old = lab.old._replace(log_prob=lab.old.log_prob[:, :1])
    lab.advantages = lab.advantages[:, :1]
    lab.returns = lab.returns[:, :1]
    return lab.terms(lab.evaluate(lab.features[:, :1], lab.actions[:, :1], state))


@crossing("raises on the way", "misuse", "trace")
def state_into_value_head(lab: Lab) -> Terms:
    """The value is read from the rollout's own state: the head saves it."""
    h, _ = lab.policy.initial_state()
    return lab.terms(lab.evaluate(), state_value=lab.policy.value_head(h[-1]).mean())


def _normed(lab: Lab, h: torch.Tensor) -> Terms:
    normed = torch.nn.functional.layer_norm(h, h.shape[-1:])
    return lab.terms(lab.evaluate(state=(normed, torch.zeros_like(h).clone())))


def _normed_clone(lab: Lab) -> Terms:
    return _normed(lab, lab.policy.initial_state()[0].clone())


@crossing("fine", "correct", reference=_normed_clone)
def layer_norm_first(lab: Lab) -> Terms:
    """The state passes a layer norm outside first, which copies."""
    return _normed(lab, lab.policy.initial_state()[0])


def _packed(lab: Lab, *, enforce_sorted: bool) -> Terms:
    core = lab.policy.core.forward

    def packing(latents: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        packed = pack_padded_sequence(
            latents, [TIME] * BATCH, batch_first=True, enforce_sorted=enforce_sorted
        )
        outputs, state = core(packed, state)
        return pad_packed_sequence(outputs, batch_first=True)[0], state

    lab.policy.core.forward = packing
    return _raw(lab)


@crossing("raises in forward", "misuse", "guard", "trace")
def packed_sorted(lab: Lab) -> Terms:
    """A `PackedSequence` that is sorted already."""
    return _packed(lab, enforce_sorted=True)


@crossing("fine", "breach", "guard")
def packed_unsorted(lab: Lab) -> Terms:
    """A `PackedSequence` that sorts: the state is copied into its order."""
    return _packed(lab, enforce_sorted=False)
