"""The figures of an update, each against its definition, and the invariants that stop a run."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing import (  # type: ignore[import-untyped]  # it ships no types
    event_accumulator,
)

from tamiyo_rl import ContractError, Gaussian, HiddenState, LSTMPolicyBundle
from tamiyo_rl.recurrent.episode_plan import Cell
from tamiyo_rl.training import (
    PPOConfig,
    RecurrentPPO,
    RolloutBatch,
    TensorBoardLog,
    explained_variance,
    hidden_staleness,
    make_envs,
)
from tamiyo_rl.training.ppo.diagnostics import GradientNorms

STEPS = 12
LENGTH = 4
ENVS = 3


def make_trainer(bundle: LSTMPolicyBundle | None = None, **config: Any) -> RecurrentPPO:
    torch.manual_seed(0)
    if bundle is None:
        bundle = LSTMPolicyBundle(2, 2, hidden_dim=8, learn_initial_hidden=True)
    settings: dict[str, Any] = {"num_steps": STEPS, "sequence_length": LENGTH, "epochs": 2}
    settings |= {"num_minibatches": 3} | config
    return RecurrentPPO(make_envs(num_envs=ENVS), bundle, PPOConfig(**settings))


def collect(trainer: RecurrentPPO) -> None:
    trainer.collector.begin()
    trainer.collector.collect()


def test_the_report_names_its_figures_as_the_field_does() -> None:
    report = next(make_trainer().train())
    scalars = report.scalars()
    assert {
        "rollout/ep_rew_mean",
        "rollout/ep_len_mean",
        "time/fps",
        "time/total_timesteps",
        "train/approx_kl",
        "train/clip_fraction",
        "train/entropy_loss",
        "train/explained_variance",
        "train/policy_gradient_loss",
        "train/value_loss",
    } < set(scalars)
    assert scalars["train/entropy_loss"] == -report.entropy
    assert scalars["time/total_timesteps"] == STEPS * ENVS
    assert scalars["time/fps"] > 0
    norms = [name for name in scalars if name.startswith("train/grad_norm/")]
    assert [name.rsplit("/", 1)[1] for name in norms] == [
        "lstm",
        "initial_state",
        "action",
        "value",
    ]


@pytest.mark.parametrize("seed", range(3))
def test_explained_variance_is_that_of_numpy(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values, returns = torch.randn(2, 50, generator=generator, dtype=torch.float64)
    expected = 1 - np.var((returns - values).numpy()) / np.var(returns.numpy())
    assert explained_variance(values, returns) == pytest.approx(expected)
    assert math.isnan(explained_variance(values, torch.ones(50)))


def test_explained_variance_leaves_out_the_steps_that_only_reset() -> None:
    trainer = make_trainer(num_steps=48, sequence_length=48, num_minibatches=1)
    collect(trainer)
    (batch,) = trainer.buffer.sequences()
    assert not batch.valid.all()
    values, returns = trainer.buffer.values_and_returns()
    assert values.equal(batch.value[batch.valid])
    assert returns.equal(batch.returns[batch.valid])


@pytest.mark.parametrize("cell", get_args(Cell))
def test_gradient_norms_are_those_of_each_part(cell: Cell) -> None:
    encoder = torch.nn.Linear(2, 5)
    dims: dict[str, int | Gaussian] = {"op": 3, "aim": Gaussian(2), "slot": 2}
    bundle = LSTMPolicyBundle(
        2, dims, hidden_dim=4, learn_initial_hidden=True, encoder=encoder, cell=cell
    )
    norms = GradientNorms(bundle)
    grads = dict(bundle.named_parameters())
    for _ in range(2):
        for parameter in bundle.parameters():
            parameter.grad = torch.randn_like(parameter)
        total = norms.measure()
        clipped = torch.nn.utils.clip_grad_norm_(bundle.parameters(), 1.0)
        assert total.item() == pytest.approx(clipped.item(), rel=1e-5)
        norms.mean()
    norms.measure()

    def norm(select: Callable[[str, torch.Tensor], torch.Tensor | None]) -> float:
        parts = [select(name, p.grad) for name, p in grads.items() if p.grad is not None]
        return math.sqrt(sum(float(part.square().sum()) for part in parts if part is not None))

    expected = {
        "encoder": norm(lambda n, g: g if n.startswith("encoder") else None),
        cell: norm(lambda n, g: g if n.startswith("core.") and "initial" not in n else None),
        "initial_state": norm(lambda n, g: g if "initial" in n else None),
        "head/op": norm(lambda n, g: g[:3] if n.startswith("policy_head") else None),
        "head/slot": norm(lambda n, g: g[3:5] if n.startswith("policy_head") else None),
        "head/aim": norm(lambda n, g: g[5:] if n.startswith("policy_head") else None),
        "log_std": norm(lambda n, g: g if n == "log_std" else None),
        "value": norm(lambda n, g: g if n.startswith("value_head") else None),
    }
    assert norms.mean() == pytest.approx(expected, rel=1e-5)


def test_a_part_without_a_gradient_has_a_norm_of_zero() -> None:
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=4, learn_initial_hidden=True)
    norms = GradientNorms(bundle)
    bundle.forward(torch.randn(1, 3, 2)).value.sum().backward()
    norms.measure()
    assert norms.mean()["head/action"] == 0.0


def test_states_are_not_stale_before_the_update() -> None:
    trainer = make_trainer()
    collect(trainer)
    collector = trainer.collector
    staleness = hidden_staleness(trainer.bundle, trainer.buffer, collector.hidden, collector.starts)
    assert staleness < 1e-5


def test_staleness_is_that_of_stepping_through_the_rollout_again() -> None:
    trainer = make_trainer(num_steps=40, sequence_length=4, num_minibatches=1)
    collect(trainer)
    bundle = trainer.bundle
    collector = trainer.collector
    with torch.no_grad():
        for parameter in bundle.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    batches = list(trainer.buffer.sequences())
    expected = staleness_by_steps(bundle, batches, collector.hidden, collector.starts)
    got = hidden_staleness(bundle, trainer.buffer, collector.hidden, collector.starts)
    assert got == pytest.approx(expected, rel=1e-4)
    assert any(batch.plan.episode_starts[:, 0].any() for batch in batches[1:])


def staleness_by_steps(
    bundle: Any, batches: list[RolloutBatch], last: HiddenState, last_starts: torch.Tensor
) -> float:
    """Step each environment with `get_action`, and sum squares in plain floats."""
    moved = size = 0.0
    firsts = [batch.plan.episode_starts[:, 0] for batch in batches]
    for row in range(ENVS):
        hidden = HiddenState(*(part[:, row : row + 1] for part in batches[0].hidden))
        for index, batch in enumerate(batches):
            for step in range(LENGTH):
                hidden = bundle.get_action(
                    batch.features[row : row + 1, step],
                    hidden=hidden,
                    episode_starts=batch.plan.episode_starts[row : row + 1, step],
                ).hidden
            is_last = index == len(batches) - 1
            stored = last if is_last else batches[index + 1].hidden
            if (last_starts if is_last else firsts[index + 1])[row]:
                continue
            for new, old in zip(hidden, stored, strict=True):
                moved += float((new[:, 0] - old[:, row]).square().sum())
                size += float(old[:, row].square().sum())
    return math.sqrt(moved / size)


def test_a_rebuilt_state_that_differs_stops_the_run() -> None:
    trainer = make_trainer(num_steps=32, sequence_length=8)
    collect(trainer)
    with torch.no_grad():
        for parameter in trainer.bundle.parameters():
            parameter.add_(torch.randn_like(parameter))
        collect(trainer)
        for state in trainer.buffer._hidden:
            state.add_(1.0)
    before = [parameter.clone() for parameter in trainer.bundle.parameters()]
    with pytest.raises(ContractError, match=r"log_prob: expected .*, within 0\.001, off by"):
        trainer.updater.update(trainer.buffer, 1.0)
    assert all(map(torch.equal, before, trainer.bundle.parameters()))


def test_dropout_stops_the_run_and_evaluation_mode_lets_it_train() -> None:
    encoder = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Dropout(0.5))
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=8, encoder=encoder)
    with torch.no_grad():
        for parameter in bundle.parameters():
            parameter.add_(torch.randn_like(parameter))
    with pytest.raises(ContractError, match=r"(?s)log_prob: expected.*dropout"):
        next(make_trainer(bundle).train())
    next(make_trainer(bundle.eval()).train())


def test_a_loss_that_is_not_finite_never_reaches_the_parameters() -> None:
    trainer = make_trainer(entropy_coef=0.1)
    collect(trainer)
    trainer.buffer._advantages[1, 3] = math.inf
    before = [parameter.clone() for parameter in trainer.bundle.parameters()]
    with pytest.raises(ContractError, match=r"loss: expected finite numbers.*policy loss.*lstm"):
        trainer.updater.update(trainer.buffer, 1e-9)
    after = list(trainer.bundle.parameters())
    assert all(torch.isfinite(parameter).all() for parameter in after)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(before, after, strict=True))


def test_a_learned_initial_state_trains_where_minibatches_start_no_episode() -> None:
    trainer = make_trainer(num_steps=16, sequence_length=2, num_minibatches=24, epochs=1)
    initial = dict(trainer.bundle.named_parameters())["core.initial_cell"]
    reports = [report for _, report in zip(range(3), trainer.train())]  # noqa: B905 - three are enough
    batches = list(trainer.buffer.minibatches(24))
    assert any(not batch.plan.episode_starts.any() for batch in batches)
    assert reports[0].gradient_norms["initial_state"] > 0
    assert initial.abs().sum() > 0


def test_tensorboard_has_every_figure(tmp_path: Path) -> None:
    with TensorBoardLog(tmp_path) as log:
        reports = [report for _, report in zip(range(2), make_trainer().train())]  # noqa: B905 - two are enough
        for report in reports:
            log.add(report)
    events = event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    for name, value in reports[1].scalars().items():
        first, second = events.Scalars(name)
        assert (first.step, second.step) == (reports[0].steps, reports[1].steps)
        assert second.value == pytest.approx(value, nan_ok=True)
