"""What a variant changes that no setting of the package changes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tamiyo_rl import EvalResult, LSTMPolicyBundle
from tamiyo_rl.policy import FactoredRecurrentActorCritic
from tamiyo_rl.policy.network import last_layer
from tamiyo_rl.training import RecurrentPPO, RolloutBatch, RolloutBuffer
from tamiyo_rl.training.ppo.loss import PPOLoss
from tamiyo_rl.training.ppo.updater import PPOUpdater, UpdateResult

Network = FactoredRecurrentActorCritic


class Detach(nn.Module):
    """Passes its inputs on without a graph."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Detach the inputs."""
        return inputs.detach()


def detach_critic(network: Network) -> None:
    """Let no gradient of the value reach the LSTM, as `shared_lstm` of sb3-contrib."""
    network.value_head = nn.Sequential(Detach(), *network.value_head.children())


def tanh_heads(network: Network) -> None:
    """Put tanh in the place of ReLU."""
    for head in (network.policy_head, network.value_head):
        for name, layer in head.named_children():
            if isinstance(layer, nn.ReLU):
                setattr(head, name, nn.Tanh())


def as_pytorch(network: Network) -> None:
    """Initialise the network as `nn.LSTM` and `nn.Linear` do by themselves."""
    reset_heads(network)
    add_to_forget_gates(network, -1.0)


def reset_heads(network: Network) -> None:
    """Initialise the heads as `nn.Linear` does by itself."""
    for layer in _linear_layers(network):
        layer.reset_parameters()


def add_to_forget_gates(network: Network, bias: float) -> None:
    """Add to the bias of each forget gate."""
    with torch.no_grad():
        for core in network.cores:
            core.get_parameter("bias_ih_l0")[core.hidden_size : 2 * core.hidden_size] += bias


def orthogonal(network: Network) -> None:
    """Initialise the heads orthogonally, as `ortho_init=True` of sb3-contrib."""
    add_to_forget_gates(network, -1.0)
    for layer in _linear_layers(network):
        nn.init.orthogonal_(layer.weight, 2**0.5)
        nn.init.zeros_(layer.bias)
    nn.init.orthogonal_(last_layer(network.policy_head).weight, 0.01)
    nn.init.orthogonal_(last_layer(network.value_head).weight, 1.0)


def scale_policy(network: Network) -> None:
    """Begin with an almost uniform policy, as the package does."""
    as_pytorch(network)
    output = last_layer(network.policy_head)
    with torch.no_grad():
        output.weight.mul_(0.01)
    nn.init.zeros_(output.bias)


def _linear_layers(network: Network) -> list[nn.Linear]:
    heads = nn.ModuleList([network.policy_head, network.value_head])
    return [layer for layer in heads.modules() if isinstance(layer, nn.Linear)]


class ZeroStates(LSTMPolicyBundle):
    """Begins every training row from zeros, and not from the state of the rollout."""

    def evaluate_actions(self, *args: Any, **kwargs: Any) -> EvalResult:
        """Evaluate stored actions from zeros."""
        features, actions, masks, hidden = args
        zeros = type(hidden)(*map(torch.zeros_like, hidden))
        return super().evaluate_actions(features, actions, masks, zeros, **kwargs)


class RolloutAdvantages(PPOUpdater):
    """Normalises the advantages over the whole rollout, and not over each minibatch."""

    def update(self, buffer: RolloutBuffer, remaining: float) -> UpdateResult:
        """Measure the advantages, then train on the buffer."""
        batches = list(buffer.sequences())
        advantages = torch.cat([batch.advantages[batch.valid] for batch in batches])
        self.mean = advantages.mean()
        self.deviation = advantages.std(correction=0)
        return super().update(buffer, remaining)

    def loss(self, evaluation: EvalResult, batch: RolloutBatch, clip_range: float) -> PPOLoss:
        """Compute the losses with these advantages."""
        advantages = (batch.advantages - self.mean) / (self.deviation + 1e-8)
        ratio = (evaluation.joint_log_prob - batch.log_prob).exp()
        clipped = ratio.clamp(1.0 - clip_range, 1.0 + clip_range)
        surrogate = torch.minimum(ratio * advantages, clipped * advantages)
        loss = super().loss(evaluation, batch, clip_range)
        return loss._replace(policy=-surrogate[batch.valid].mean())


def use_rollout_advantages(trainer: RecurrentPPO) -> None:
    """Give a trainer an updater of this kind."""
    trainer.updater = RolloutAdvantages(trainer.bundle, trainer.config)
    use_peer_epsilon(trainer)


def use_peer_epsilon(trainer: RecurrentPPO) -> None:
    """Give Adam the epsilon of sb3-contrib."""
    for group in trainer.updater.optimizer.param_groups:
        group["eps"] = 1e-5
