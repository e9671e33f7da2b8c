"""One process of a group, for `test_distributed`: `torchrun ... -m ... FOLDER NAME...`."""

import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import (
    PPOConfig,
    RecurrentPPO,
    distributed,
    make_envs,
)
from tamiyo_rl.training.distributed import process_group, rank, world_size

ENVS = 8
STEPS = 16


def make_trainer(**config: Any) -> RecurrentPPO:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    envs = make_envs(num_envs=ENVS // world_size())
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=8, learn_initial_hidden=True)
    if world_size() > 1:
        bundle.network = DistributedDataParallel(bundle.network)
    settings: dict[str, Any] = {"num_steps": STEPS, "sequence_length": STEPS, "epochs": 3}
    settings |= {"num_minibatches": 1, "total_steps": ENVS * STEPS, "max_grad_norm": 0.1}
    return RecurrentPPO(envs, bundle, PPOConfig(**settings | config))


def fill(trainer: RecurrentPPO, *, starts: bool = True) -> None:
    """Fill the buffer with this process's share of one rollout, the same for any number of them."""
    generator = torch.Generator().manual_seed(0)
    share = slice(rank() * ENVS // world_size(), (rank() + 1) * ENVS // world_size())
    bundle = trainer.bundle
    hidden = bundle.initial_hidden(trainer.buffer.num_envs)
    for step in range(STEPS):
        features = torch.randn(ENVS, 2, generator=generator)[share]
        rewards = torch.randn(ENVS, generator=generator)[share]
        ended = (torch.rand(ENVS, generator=generator) < 0.2 * starts)[share]
        # Unequal shares of valid steps: the mean of the processes' means is not the mean.
        valid = (torch.rand(ENVS, generator=generator) < torch.linspace(0.1, 1, ENVS))[share]
        first = torch.full_like(ended, starts and step == 0)
        result = bundle.get_action(
            features, hidden=hidden, episode_starts=first, deterministic=True
        )
        trainer.buffer.add(
            features,
            result,
            hidden=hidden,
            episode_starts=first,
            rewards=rewards,
            terminated=ended,
            truncated=torch.zeros_like(ended),
            valid=valid,
        )
        hidden = result.hidden
    trainer.buffer.finish(torch.zeros(len(rewards)), gamma=0.9, gae_lambda=0.9)


def update(folder: Path) -> None:
    """Save the parameters after an update, and its losses."""
    trainer = make_trainer()
    fill(trainer)
    result = trainer.updater.update(trainer.buffer, 1.0)
    torch.save(
        {"parameters": trainer.bundle.state_dict(), "loss": list(result.loss)},
        folder / f"update-{rank()}-of-{world_size()}.pt",
    )


def no_start(folder: Path) -> None:
    """Update on rollouts in which no episode starts, so that nothing uses the initial state."""
    trainer = make_trainer()
    for _ in range(2):
        trainer.buffer.reset()
        fill(trainer, starts=False)
        trainer.updater.update(trainer.buffer, 1.0)
    (folder / f"done-{rank()}").touch()


def train(folder: Path) -> None:
    """Train, and save what has to be the same in every process, and what must not be."""
    begun = make_trainer().collector
    begun.begin(seed=0)
    trainer = make_trainer(total_steps=ENVS * STEPS * 4, num_minibatches=2)
    reports = [(report.episode_return, report.policy_loss) for report in trainer.train()]
    collector = trainer.collector
    torch.save(
        {
            "same": [
                trainer.bundle.state_dict(),
                collector.normalizer.state_dict(),
                {k: v for k, v in collector.reward_scaler.state_dict().items() if k != "returns"},
                torch.tensor(reports),
            ],
            "own": [begun.state_dict()["features"], torch.rand(4)],
        },
        folder / f"train-{rank()}.pt",
    )


def let_go(folder: Path) -> None:
    """Require that no thread of gloo holds a tensor after a call."""
    sent: list[weakref.ref[torch.Tensor]] = []
    for name in ("all_reduce", "all_gather"):
        setattr(dist, name, record_arguments(getattr(dist, name), sent))
    for _ in range(200):
        distributed.gather_rows(np.zeros((2, 3)))
        distributed.mean_over_processes(torch.zeros(3))
        distributed.gather_to_first({"rank": rank()})
        distributed.largest_of_processes(rank())
        assert sent
        assert not any(tensor() is not None for tensor in sent)
        sent.clear()
    (folder / f"let-go-{rank()}").touch()


def record_arguments(
    collective: Callable[..., None], sent: list[weakref.ref[torch.Tensor]]
) -> Callable[..., None]:
    """Keep weak references to the arguments of a collective."""

    def record(*arguments: Any, **options: Any) -> None:
        for argument in arguments:
            tensors = argument if isinstance(argument, list) else [argument]
            sent.extend(map(weakref.ref, tensors))
        collective(*arguments, **options)

    return record


def unwrapped(_folder: Path) -> None:
    """Forget to wrap the network."""
    RecurrentPPO(make_envs(num_envs=4), LSTMPolicyBundle(2, 2), PPOConfig(num_steps=32))


if __name__ == "__main__":
    with process_group():
        for name in sys.argv[2:]:
            globals()[name](Path(sys.argv[1]))
