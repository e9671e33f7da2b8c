"""The trainer audits the gradients themselves where the graph hides its parameters."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tamiyo_rl import ContractError, LSTMPolicyBundle
from tamiyo_rl.training import PPOConfig, RecurrentPPO, make_envs
from tests.contract.custom_functions import Recompute

pytestmark = pytest.mark.clause("C3", "C8")

recompute: Any = Recompute.apply
Way = Callable[[nn.Module, torch.Tensor], torch.Tensor]


class Encoder(nn.Module):
    def __init__(self, way: Way) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 4)
        self.way = way

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return self.inner(features)  # type: ignore[no-any-return]  # the call of a module is untyped
        return self.way(self.inner, features.detach().requires_grad_())


def make_trainer(way: Way) -> RecurrentPPO:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle(2, 2, hidden_dim=8, encoder=Encoder(way))
    config = PPOConfig(total_steps=128, num_steps=16, sequence_length=8, num_minibatches=2)
    return RecurrentPPO(make_envs(num_envs=4), bundle, config)


@pytest.mark.parametrize(
    "way",
    [recompute, lambda inner, x: checkpoint(inner, x, use_reentrant=True)],
    ids=["custom function", "reentrant checkpoint"],
)
def test_an_encoder_that_hides_its_parameters_is_trained(way: Way) -> None:
    trainer = make_trainer(way)
    before = trainer.bundle.state_dict()["encoder.inner.weight"].clone()
    assert len(list(trainer.train())) == 2
    assert not trainer.bundle.state_dict()["encoder.inner.weight"].equal(before)
    assert trainer.updater.state_dict()["audited"]


def test_an_encoder_that_nothing_trains_is_named_before_any_parameter_changes() -> None:
    def without_gradient(inner: nn.Module, x: torch.Tensor) -> Any:
        return recompute(lambda x: inner(x).detach() + 0 * x.sum(), x)

    trainer = make_trainer(without_gradient)
    before = {name: value.clone() for name, value in trainer.bundle.state_dict().items()}
    with pytest.raises(ContractError, match=r"nothing trains: encoder\.inner\.weight"):
        next(trainer.train())
    after = trainer.bundle.state_dict()
    assert all(value.equal(after[name]) for name, value in before.items())
    assert not trainer.updater.state_dict()["audited"]
