"""Policies with memory: its resets, and the state that it begins with."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from benchmarks.silent_bugs.case import Batch, Losses, Training, case


class Policy(nn.Module):
    """A recurrent policy of two actions with a value, stepped in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 16)
        self.actor = nn.Linear(16, 2)
        self.critic = nn.Linear(16, 1)

    def step(
        self, observation: torch.Tensor, hidden: torch.Tensor, reset: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits, value and the next hidden state; the state is reset before the step."""
        hidden = self.cell(observation, hidden * ~reset[:, None])
        return self.actor(hidden), self.critic(hidden)[:, 0], hidden

    def replay(
        self, observations: torch.Tensor, resets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the log-probabilities and the values of all steps."""
        hidden = torch.zeros(observations.shape[1], 16)
        steps = []
        for observation, reset in zip(observations, resets, strict=True):
            logits, value, hidden = self.step(observation, hidden, reset)
            steps.append((logits.log_softmax(dim=-1), value))
        log_probs, values = zip(*steps, strict=True)
        return torch.stack(log_probs), torch.stack(values)


@case(
    "The rollout resets the state by the flag before a step, the replay by the flag after it: one "
    "step early.",
    "https://github.com/LARG/jax-aht/pull/115",
)
def reset_one_step_early(*, mistake: bool) -> Training:
    """Train a recurrent policy by PPO."""
    policy = Policy()

    def episodes() -> Iterator[Batch]:
        for _ in range(2):
            observations, done = torch.randn(12, 4, 4), torch.rand(13, 4) < 0.2
            with torch.no_grad():
                log_probs, values = policy.replay(observations, done[:-1])
            actions = torch.distributions.Categorical(logits=log_probs).sample()[..., None]
            batch = {
                "observations": observations,
                "resets": done[1:] if mistake else done[:-1],
                "actions": actions,
                "log_prob": log_probs.gather(-1, actions)[..., 0],
                "value": values,
                "returns": torch.randn(12, 4),
            }
            for epoch in range(2):
                yield {**batch, "first": torch.tensor(epoch == 0)}

    def losses(batch: Batch) -> Losses:
        log_probs, value = policy.replay(batch["observations"], batch["resets"])
        log_prob = log_probs.gather(-1, batch["actions"])[..., 0]
        ratio = (log_prob - batch["log_prob"]).exp()
        return Losses(
            {
                "policy": -(ratio * (batch["returns"] - batch["value"])).mean(),
                "value": F.mse_loss(value, batch["returns"]),
            },
            new={"log_prob": log_prob, "value": value},
            old={"log_prob": batch["log_prob"], "value": batch["value"]},
            first=bool(batch["first"]),
        )

    return Training(policy, torch.optim.Adam(policy.parameters()), episodes(), losses)


class Tagger(nn.Module):
    """A recurrent network with a learned initial state."""

    def __init__(self) -> None:
        super().__init__()
        self.initial = nn.Parameter(torch.zeros(1, 1, 16))
        self.core = nn.GRU(4, 16, batch_first=True)
        self.output = nn.Linear(16, 2)


@case("The learned initial state is read through .data, so that it is never learned.")
def initial_state_data(*, mistake: bool) -> Training:
    """Train a recurrent network on sequences."""
    model = Tagger()

    def sequences() -> Iterator[Batch]:
        for _ in range(4):
            features = torch.randn(6, 10, 4)
            yield {"features": features, "labels": (features[..., 0].cumsum(dim=1) > 0).long()}

    def losses(batch: Batch) -> Losses:
        initial = model.initial.data if mistake else model.initial
        hidden, _ = model.core(batch["features"], initial.expand(-1, 6, -1).contiguous())
        logits = model.output(hidden)
        return Losses({"loss": F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())})

    return Training(model, torch.optim.Adam(model.parameters()), sequences(), losses)
