"""The `Trainer` of transformers: a small GPT-2 with a head of its user, and mistakes in it."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from torch import nn
from transformers import GPT2Config, GPT2Model, PrinterCallback, Trainer, TrainingArguments

from tests.field.case import Case, Training

LIBRARY = "transformers"
VOCABULARY = 32


class Scorer(nn.Module):
    """Scores a sequence of tokens, and predicts its first token."""

    def __init__(self) -> None:
        super().__init__()
        config = GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=16,
            n_embd=16,
            n_layer=1,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
        )
        self.body = GPT2Model(config)
        self.score = nn.Linear(16, 1)
        self.token = nn.Linear(16, VOCABULARY)

    def encode(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Return the last hidden state of each step."""
        encoded: torch.Tensor = self.body(input_ids).last_hidden_state
        return encoded

    def terms(
        self, input_ids: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both terms of the loss."""
        encoded = self.encode(input_ids)[:, -1]
        score = nn.functional.mse_loss(self.score(encoded).squeeze(-1), labels)
        return score, nn.functional.cross_entropy(self.token(encoded), input_ids[:, 0])

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the loss."""
        return {"loss": sum(self.terms(input_ids, labels), start=torch.zeros(()))}


class DetachedTerm(Scorer):
    """Adds a number where a term with a graph belongs."""

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the loss."""
        score, token = self.terms(input_ids, labels)
        return {"loss": score + token.detach()}


class DetachedBody(Scorer):
    """Encodes without a graph, although the body is to be trained."""

    def encode(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Return the hidden states."""
        with torch.no_grad():
            return super().encode(input_ids)


class CachedTable(Scorer):
    """Keeps a table that an evaluation before the training made under inference mode."""

    def __init__(self) -> None:
        super().__init__()
        with torch.inference_mode():
            self.table = torch.linspace(0.5, 1.5, 16)

    def encode(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Scale the hidden states."""
        return super().encode(input_ids) * self.table


def training(model: Scorer, callbacks: list[Any] | None = None, **settings: Any) -> Training:
    """Return the model, and what trains it for a few steps."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(VOCABULARY, (32, 8), generator=generator)
    data = [{"input_ids": row, "labels": row.float().mean() / VOCABULARY} for row in tokens]
    folder = tempfile.TemporaryDirectory()
    arguments = TrainingArguments(
        folder.name,
        max_steps=6,
        per_device_train_batch_size=8,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        logging_strategy="no",
        use_cpu=True,
        **settings,
    )
    trainer = Trainer(model, arguments, train_dataset=data, callbacks=callbacks)
    trainer.remove_callback(PrinterCallback)

    def train() -> None:
        with folder:
            trainer.train()

    return Training(model, train)


CASES = (
    Case(LIBRARY, "correct", "as its documentation shows", lambda: training(Scorer())),
    Case(
        LIBRARY,
        "correct-accumulated",
        "with gradients of two batches in a step",
        lambda: training(Scorer(), gradient_accumulation_steps=2),
    ),
    Case(
        LIBRARY,
        "detached-term",
        "a term without a graph in the loss",
        lambda: training(DetachedTerm()),
    ),
    Case(
        LIBRARY, "detached-body", "a body that runs under no_grad", lambda: training(DetachedBody())
    ),
    Case(
        LIBRARY,
        "cached-table",
        "a table made under inference mode",
        lambda: training(CachedTable()),
    ),
)
