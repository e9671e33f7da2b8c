"""A laboratory for one crossing: a small recurrent policy, a rollout, and a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from tamiyo_rl.contract.guard import guard_training_inputs
from tamiyo_rl.contract.nesting import walk_tensors
from tamiyo_rl.contract.origin import mark_origin, origin_of

BATCH = 3
TIME = 5
FEATURES = 4
WIDTH = 8
ACTIONS = 3

State = tuple[torch.Tensor, torch.Tensor]


class Evaluation(NamedTuple):
    """What a training call returns, each `[B, T]`."""

    log_prob: torch.Tensor
    value: torch.Tensor
    entropy: torch.Tensor


class HandLSTM(nn.Module):
    """An LSTM written out, which saves other tensors for backward than the fused one."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = nn.Linear(WIDTH, 4 * WIDTH)
        self.recurrent = nn.Linear(WIDTH, 4 * WIDTH)

    def forward(self, features: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Step through time."""
        h, c = (part[0] for part in state)
        outputs = []
        for step in features.unbind(1):
            i, f, g, o = (self.inputs(step) + self.recurrent(h)).chunk(4, dim=-1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs, 1), (h[None], c[None])


class Cells(nn.Module):
    """A loop over `nn.LSTMCell`."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(WIDTH, WIDTH)

    def forward(self, features: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Step through time."""
        h, c = (part[0] for part in state)
        outputs = []
        for step in features.unbind(1):
            h, c = self.cell(step, (h, c))
            outputs.append(h)
        return torch.stack(outputs, 1), (h[None], c[None])


class Policy(nn.Module):
    """A recurrent actor-critic as a user writes it; of this package, only the guard helps it.

    Args:
        core: `lstm`, `deep` (two layers), `gru`, `rnn`, `cells` or `hand`.
        learned: Whether the initial state is learned.
    """

    def __init__(self, core: str = "lstm", *, learned: bool = False) -> None:
        super().__init__()
        cores: dict[str, Callable[[], nn.Module]] = {
            "lstm": lambda: nn.LSTM(WIDTH, WIDTH, batch_first=True),
            "deep": lambda: nn.LSTM(WIDTH, WIDTH, num_layers=2, batch_first=True),
            "rnn": lambda: nn.RNN(WIDTH, WIDTH, batch_first=True),
            "cells": Cells,
            "gru": lambda: nn.GRU(WIDTH, WIDTH, batch_first=True),
            "hand": HandLSTM,
        }
        self.encoder: nn.Module = nn.Linear(FEATURES, WIDTH)
        self.core = cores[core]()
        self.policy_head = nn.Linear(WIDTH, ACTIONS)
        self.value_head = nn.Linear(WIDTH, 1)
        if learned:
            self.h0 = nn.Parameter(torch.randn(1, 1, WIDTH))
            self.c0 = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.learned = learned

    def start(self, batch: int) -> State:
        """Return the initial state, differentiable."""
        if self.learned:
            return self.h0.expand(-1, batch, -1), self.c0.expand(-1, batch, -1)
        shape = (getattr(self.core, "num_layers", 1), batch, WIDTH)
        return torch.zeros(shape), torch.zeros(shape)

    def forward(
        self, features: torch.Tensor, state: State
    ) -> tuple[torch.Tensor, torch.Tensor, State]:
        """Return log-probabilities `[B, T, actions]`, values `[B, T]` and the last state."""
        return self.decide(self.encoder(features).tanh(), state)

    def decide(
        self, latents: torch.Tensor, state: State
    ) -> tuple[torch.Tensor, torch.Tensor, State]:
        """Run the LSTM and the heads on the output of the encoder."""
        if isinstance(self.core, nn.GRU | nn.RNN):
            outputs, h = self.core(latents, state[0])
            state = h, state[1]
        else:
            outputs, state = self.core(latents, state)
        values = self.value_head(outputs).squeeze(-1)
        return self.policy_head(outputs).log_softmax(-1), values, state

    def evaluate(
        self,
        features: torch.Tensor,
        actions: torch.Tensor,
        state: State | None = None,
        masks: torch.Tensor | None = None,
    ) -> Evaluation:
        """Evaluate actions: the training call."""
        log_probs, value, _ = self(features, self.start(len(features)) if state is None else state)
        if masks is not None:
            log_probs = log_probs.masked_fill(~masks, -1e9).log_softmax(-1)
        return evaluation(log_probs, value, actions)

    @torch.inference_mode()
    def initial_state(self, batch: int = BATCH) -> State:
        """Return the initial state, as a rollout gets it."""
        return mark_origin(self.start(batch), "Policy.initial_state")

    @torch.inference_mode()
    def act(
        self, features: torch.Tensor, state: State
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, State]:
        """Take a step: log-probabilities `[B, actions]`, values, latents, state."""
        latents = self.encoder(features[:, None]).tanh()
        log_probs, value, state = self.decide(latents, state)
        return log_probs[:, 0], value[:, 0], latents, state


def evaluation(log_probs: torch.Tensor, value: torch.Tensor, actions: torch.Tensor) -> Evaluation:
    """Gather the log-probabilities of actions."""
    chosen = log_probs.gather(-1, actions[..., None]).squeeze(-1)
    return Evaluation(chosen, value, -(log_probs.exp() * log_probs).sum(-1))


class Lab:
    """A policy with a rollout of it, the same at each making.

    Args:
        learned: Whether the initial state is learned.
        core: The recurrent core.
        guarded: Whether the training call has our guard.
    """

    def __init__(self, *, learned: bool = False, core: str = "lstm", guarded: bool = False) -> None:
        torch.manual_seed(0)
        self.phase = "on the way"
        self.guarded = guarded
        self.policy = Policy(core, learned=learned)
        self.optimizer = torch.optim.SGD(self.policy.parameters(), lr=0.1)
        self.features = torch.randn(BATCH, TIME, FEATURES)
        self.actions = torch.randint(ACTIONS, (BATCH, TIME))
        self.advantages = torch.randn(BATCH, TIME)
        self.returns = torch.randn(BATCH, TIME)
        with torch.no_grad():
            self.old = Evaluation(
                *(x.clone() for x in self.policy.evaluate(self.features, self.actions))
            )
        self.flagged = self.marked = False
        self.untouched: tuple[str, ...] = ()
        self.log_prob: torch.Tensor | None = None
        self.ratio: torch.Tensor | None = None

    def rollout(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a copy of `tensor` as a rollout under inference mode makes it."""
        with torch.inference_mode():
            return mark_origin(tensor.clone(), "Lab.rollout")

    def evaluate(self, *args: Any, **kwargs: Any) -> Evaluation:
        """Make the training call; features and actions are the rollout's unless given."""
        names = ("features", "actions", "state", "masks")
        given = dict(zip(names, args, strict=False)) | kwargs
        arguments = {"features": self.features, "actions": self.actions} | given
        tensors = [tensor for _, tensor in walk_tensors(arguments, "")]
        self.flagged |= any(tensor.is_inference() for tensor in tensors)
        self.marked |= any(origin_of(tensor) is not None for tensor in tensors)
        call = guard_training_inputs(Policy.evaluate) if self.guarded else Policy.evaluate
        with self.during("in forward"):
            return call(self.policy, **arguments)

    def terms(self, new: Evaluation, **other: torch.Tensor) -> dict[str, torch.Tensor]:
        """Build the terms of PPO's loss, unclipped; `other` are put in their places."""
        self.log_prob = new.log_prob
        self.ratio = (new.log_prob - self.old.log_prob).exp()
        return {
            "policy": -(self.ratio * self.advantages).mean(),
            "value": (new.value - self.returns).square().mean(),
            "entropy": -0.1 * new.entropy.mean(),
        } | other

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Say where an error that is raised within comes from."""
        before = self.phase
        self.phase = phase
        yield
        self.phase = before
