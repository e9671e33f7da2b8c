"""Modules built, moved or loaded under inference mode."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.optim.swa_utils import AveragedModel

from tamiyo_rl.crossings.catalogue import crossing, plain
from tamiyo_rl.crossings.lab import ACTIONS, FEATURES, TIME, WIDTH, Lab

Terms = Mapping[str, torch.Tensor]


def _retrain(lab: Lab) -> Terms:
    lab.optimizer = torch.optim.SGD(lab.policy.parameters(), lr=0.1)
    return plain(lab)


def _copied(module: nn.Module) -> nn.Module:
    with torch.inference_mode():
        return copy.deepcopy(module)


def _freeze_encoder(lab: Lab) -> Terms:
    lab.policy.encoder.requires_grad_(requires_grad=False)
    return plain(lab)


def _normed(lab: Lab) -> Terms:
    parametrizations.weight_norm(lab.policy.encoder)
    return _retrain(lab)


@crossing("raises in forward", "misuse", "guard", "trace")
def copied_inside(lab: Lab) -> Terms:
    """The policy is copied inside inference mode."""
    lab.policy = _copied(lab.policy)  # type: ignore[assignment]  # a copy is of the same class
    return _retrain(lab)


@crossing("raises in forward", "misuse", "guard", "trace")
def moved_inside(lab: Lab) -> Terms:
    """The policy changes its dtype and back inside inference mode."""
    with torch.inference_mode():
        lab.policy.bfloat16().float()
    return _retrain(lab)


@crossing("fine", "correct")
def loaded_inside(lab: Lab) -> Terms:
    """`load_state_dict` inside inference mode: it copies."""
    with torch.inference_mode():
        lab.policy.load_state_dict(lab.policy.state_dict())
    return plain(lab)


@crossing("raises in forward", "misuse", "guard", "trace")
def assigned_inside(lab: Lab) -> Terms:
    """`load_state_dict(assign=True)` inside inference mode."""
    with torch.inference_mode():
        state = {name: tensor.clone() for name, tensor in lab.policy.state_dict().items()}
        lab.policy.load_state_dict(state, assign=True)
    return _retrain(lab)


@crossing("raises in step", "misuse", "guard", "trace")
def encoder_inside(lab: Lab) -> Terms:
    """Only the encoder is made inside: its weight gets no gradient."""
    lab.policy.encoder = _copied(lab.policy.encoder)
    return _retrain(lab)


@crossing("silently wrong", "misuse", "guard")
def encoder_inside_raw_features(lab: Lab) -> Terms:
    """The same, with features as the rollout made them."""
    lab.policy.encoder = _copied(lab.policy.encoder)
    lab.optimizer = torch.optim.SGD(lab.policy.parameters(), lr=0.1)
    return lab.terms(lab.evaluate(lab.rollout(lab.features)))


@crossing("silently wrong", "misuse", "guard")
def encoder_data_inside(lab: Lab) -> Terms:
    """Weights are synchronised by `p.data = new`, made inside inference mode."""
    for parameter in lab.policy.encoder.parameters():
        parameter.data = lab.rollout(parameter)
    return plain(lab)


@crossing("fine", "correct")
def encoder_data_copied(lab: Lab) -> Terms:
    """Weights are synchronised inside by `p.data.copy_(new)`."""
    with torch.inference_mode():
        for parameter in lab.policy.encoder.parameters():
            parameter.data.copy_(parameter.clone())
    return plain(lab)


@crossing("fine", "correct", reference=_freeze_encoder)
def frozen_encoder_inside(lab: Lab) -> Terms:
    """A frozen encoder made inside: a linear probe on it trains."""
    lab.policy.encoder = _copied(lab.policy.encoder).requires_grad_(requires_grad=False)
    return plain(lab)


@crossing("silently wrong", "misuse", "guard")
def lazily_materialised(lab: Lab) -> Terms:
    """`nn.LazyLinear` makes its parameters in the rollout."""
    right = lab.policy.encoder
    lazy = nn.LazyLinear(8)
    with torch.inference_mode():
        lazy(torch.zeros(1, FEATURES))
        lazy.load_state_dict(right.state_dict())
    lab.policy.encoder = lazy
    return _retrain(lab)


@crossing("fine", "correct")
def repaired(lab: Lab) -> Terms:
    """A policy copied inside, whose parameters are made anew outside, and then the optimizer."""
    lab.policy = _copied(lab.policy)  # type: ignore[assignment]  # a copy is of the same class
    for module in lab.policy.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.clone()))
    return _retrain(lab)


@crossing("silently wrong", "misuse", "audit")
def optimizer_made_too_early(lab: Lab) -> Terms:
    """Parameters are made anew after the optimizer: it holds the old ones."""
    for name, parameter in list(lab.policy.encoder.named_parameters()):
        setattr(lab.policy.encoder, name, nn.Parameter(parameter.detach().clone()))
    return plain(lab)


@crossing("silently wrong", "misuse", "audit", "backward", reference=_normed)
def cached_parametrization(lab: Lab) -> Terms:
    """`parametrize.cached()` spans the rollout and the training call."""
    parametrizations.weight_norm(lab.policy.encoder)
    lab.optimizer = torch.optim.SGD(lab.policy.parameters(), lr=0.1)
    with parametrize.cached():
        lab.policy.act(lab.features[:, 0], lab.policy.start(3))
        return plain(lab)


@crossing("fine", "correct", reference=_normed)
def parametrization(lab: Lab) -> Terms:
    """The same without the cache."""
    return _normed(lab)


@crossing("raises on the way", "misuse", "trace")
def value_scale_inside(lab: Lab) -> Terms:
    """A scale of the values that was made in the rollout, times values with a gradient."""
    scale = lab.rollout(torch.ones(()))
    new = lab.evaluate()
    return lab.terms(new._replace(value=new.value * scale))


@crossing("raises on the way", "misuse", "trace")
def normaliser_updated_outside(lab: Lab) -> Terms:
    """Statistics made in the rollout are updated in place outside."""
    lab.rollout(lab.features.mean((0, 1))).lerp_(torch.zeros(FEATURES), 0.1)
    return plain(lab)


@crossing("fine", "correct")
def positions_cached_inside(lab: Lab) -> Terms:
    """A table that was cached in the rollout is added: addition saves nothing."""
    lab.features = lab.features + lab.rollout(torch.zeros(FEATURES))
    return plain(lab)


@crossing("raises in forward", "misuse", "guard", "trace")
def copied_inside_raw_features(lab: Lab) -> Terms:
    """The policy is copied inside, and the features are the rollout's."""
    lab.policy = _copied(lab.policy)  # type: ignore[assignment]  # a copy is of the same class
    return lab.terms(lab.evaluate(lab.rollout(lab.features)))


@crossing("raises in forward", "misuse", "guard", "trace")
def value_head_inside(lab: Lab) -> Terms:
    """Only the value head is made inside."""
    lab.policy.value_head = _copied(lab.policy.value_head)  # type: ignore[assignment]  # a copy is of the same class
    return _retrain(lab)


@crossing("raises in forward", "misuse", "guard")
def moved_outside_after(lab: Lab) -> Terms:
    """The policy is copied inside, and changes its dtype and back outside."""
    lab.policy = _copied(lab.policy)  # type: ignore[assignment]  # a copy is of the same class
    lab.policy.double().float()
    return _retrain(lab)


@crossing("fine", "correct")
def clones_assigned_outside(lab: Lab) -> Terms:
    """A policy copied inside gets clones by `load_state_dict(assign=True)` outside."""
    lab.policy = _copied(lab.policy)  # type: ignore[assignment]  # a copy is of the same class
    state = {name: tensor.clone() for name, tensor in lab.policy.state_dict().items()}
    lab.policy.load_state_dict(state, assign=True)
    return _retrain(lab)


@crossing("silently wrong", "misuse", "guard")
def encoder_moved_inside(lab: Lab) -> Terms:
    """Only the encoder changes its dtype and back, inside inference mode."""
    with torch.inference_mode():
        lab.policy.encoder.double().float()
    return plain(lab)


@crossing("raises in forward", "misuse", "guard", "trace")
def all_data_inside(lab: Lab) -> Terms:
    """All weights are synchronised by `p.data = new`, made inside inference mode."""
    for parameter in lab.policy.parameters():
        parameter.data = lab.rollout(parameter)
    return plain(lab)


@crossing("fine", "correct")
def average_updated_inside(lab: Lab) -> Terms:
    """A moving average of the policy is updated inside by `lerp_`."""
    average = copy.deepcopy(lab.policy)
    with torch.inference_mode():
        for slow, fast in zip(average.parameters(), lab.policy.parameters(), strict=True):
            slow.lerp_(fast, 0.1)
    return plain(lab)


@crossing("raises in backward", "misuse", "trace")
def gradient_preset_inside(lab: Lab) -> Terms:
    """`p.grad` is set to zeros inside inference mode."""
    for parameter in lab.policy.parameters():
        parameter.grad = lab.rollout(torch.zeros_like(parameter))
    return plain(lab)


@crossing("fine", "correct")
def normaliser_reassigned_inside(lab: Lab) -> Terms:
    """`(x - mean) / std` of statistics that were made in the rollout: features need no grad."""
    mean = lab.rollout(torch.zeros(FEATURES))
    std = lab.rollout(torch.ones(FEATURES))
    lab.features = (lab.features - mean) / std
    return plain(lab)


class _Convolution(nn.Module):
    """A convolution over time."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(FEATURES, WIDTH, 3, padding=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map `[B, T, F]` to `[B, T, E]`."""
        return self.convolution(features.mT).mT  # type: ignore[no-any-return]  # the call of a module is untyped


@crossing("raises in forward", "misuse", "guard", "trace")
def convolution_inside(lab: Lab) -> Terms:
    """A `Conv1d` encoder is made inside."""
    with torch.inference_mode():
        lab.policy.encoder = _Convolution()
    return _retrain(lab)


@crossing("raises in step", "misuse", "guard", "trace")
def embedding_inside(lab: Lab) -> Terms:
    """An embedding of integer features is made inside."""
    lab.features = lab.actions
    with torch.inference_mode():
        lab.policy.encoder = nn.Embedding(10, WIDTH)
    return _retrain(lab)


@crossing("raises in forward", "misuse", "trace")
def batch_norm_loaded_inside(lab: Lab) -> Terms:
    """The statistics of a batch norm are loaded inside by `assign=True`."""
    norm = nn.BatchNorm1d(TIME)
    with torch.inference_mode():
        state = {name: tensor.clone() for name, tensor in norm.named_buffers()}
        norm.load_state_dict(state, strict=False, assign=True)
    lab.policy.encoder = nn.Sequential(lab.policy.encoder, norm)
    return _retrain(lab)


@crossing("raises in forward", "misuse", "guard", "trace")
def head_built_at_first_use(lab: Lab) -> Terms:
    """A head is built in the rollout, at its first use."""
    with torch.inference_mode():
        lab.policy.policy_head = nn.Linear(WIDTH, ACTIONS)
    return _retrain(lab)


@crossing("raises in forward", "misuse", "guard", "trace")
def average_made_inside(lab: Lab) -> Terms:
    """A moving average is made inside, and then trained."""
    with torch.inference_mode():
        lab.policy = AveragedModel(lab.policy).module  # type: ignore[assignment]  # it holds a copy of the same class
    return _retrain(lab)


@crossing("silently wrong", "misuse", "guard")
def weight_only_group(lab: Lab) -> Terms:
    """The encoder is made inside, and the optimizer holds its weight but not its bias."""
    lab.policy.encoder = _copied(lab.policy.encoder)
    held = [p for name, p in lab.policy.named_parameters() if name != "encoder.bias"]
    lab.optimizer = torch.optim.SGD(held, lr=0.1)
    return plain(lab)
