"""The figures of an update, which tell whether recurrent PPO is sound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import torch

from tamiyo_rl.policy.action_dims import categorical, gaussian
from tamiyo_rl.policy.protocol import PolicyBundle
from tamiyo_rl.recurrent.hidden_state import HiddenState
from tamiyo_rl.training.checks import require_floats
from tamiyo_rl.training.rollout.buffer import RolloutBatch, RolloutBuffer

# The parts of a policy, by the names of its modules; `{cell}` is the kind of its memory.
PARTS = {
    "core": "{cell}",
    "critic_core": "critic_{cell}",
    "policy_head": "policy",
    "value_head": "value",
}


@dataclass(frozen=True)
class UpdateReport:
    """The figures of one update.

    Attributes:
        steps: Environment steps so far.
        episode_return: Mean return of the last 100 episodes; NaN before the first ends.
        episode_length: Mean length of the last 100 episodes in steps; NaN before the first ends.
        policy_loss: Mean over the minibatches.
        value_loss: Mean over the minibatches.
        entropy: Mean over the minibatches, in nats.
        approx_kl: Mean estimate of the divergence from the rollout's policy, in nats.
        clip_fraction: Share of the ratios that were clipped.
        explained_variance: See `explained_variance`.
        first_ratio_error: Largest distance of the ratio from 1 in the first minibatch, where the
            parameters are those of the rollout: rounding, if C7 holds.
        hidden_staleness: See `hidden_staleness`.
        gradient_norms: Mean norm of the gradient of each part before it is clipped, by the names
            of `GradientNorms`.
        learning_rate: Of this update.
        clip_range: Of this update.
        fps: Environment steps per second since `train()` was called. Two reports that differ in
            only that are equal.
        evaluation_return: Mean return of the run's evaluation after this update, with the most
            probable actions; NaN if it had none, None if the run has none at all.
        evaluation_length: Mean length of the episodes of that evaluation, in steps.
    """

    steps: int
    episode_return: float
    episode_length: float
    policy_loss: float
    value_loss: float
    entropy: float
    approx_kl: float
    clip_fraction: float
    explained_variance: float
    first_ratio_error: float
    hidden_staleness: float
    gradient_norms: Mapping[str, float]
    learning_rate: float
    clip_range: float
    fps: float = field(compare=False)
    evaluation_return: float | None = None
    evaluation_length: float | None = None

    def scalars(self) -> dict[str, float]:
        """Return the figures by the names that the field uses for them.

        The entropy loss is the negative of the mean entropy.
        """
        evaluation = {
            "eval/mean_reward": self.evaluation_return,
            "eval/mean_ep_length": self.evaluation_length,
        }
        return {
            "rollout/ep_rew_mean": self.episode_return,
            "rollout/ep_len_mean": self.episode_length,
            "time/total_timesteps": self.steps,
            "time/fps": self.fps,
            "train/approx_kl": self.approx_kl,
            "train/clip_fraction": self.clip_fraction,
            "train/clip_range": self.clip_range,
            "train/entropy_loss": -self.entropy,
            "train/explained_variance": self.explained_variance,
            "train/first_ratio_error": self.first_ratio_error,
            "train/hidden_staleness": self.hidden_staleness,
            "train/learning_rate": self.learning_rate,
            "train/policy_gradient_loss": self.policy_loss,
            "train/value_loss": self.value_loss,
            **{f"train/grad_norm/{part}": norm for part, norm in self.gradient_norms.items()},
            **{name: figure for name, figure in evaluation.items() if figure is not None},
        }


def explained_variance(values: torch.Tensor, returns: torch.Tensor) -> float:
    """Return the share of the variance of the returns that the values explain.

    1 means that the values are the returns, 0 that a constant would do as well; below 0 they are
    worse than one. NaN if the returns do not vary, or have no values.

    Args:
        values: `[N]`, at the time of the rollout.
        returns: `[N]`.

    Raises:
        TypeError: If an argument is not a tensor of floating point.
        ValueError: If the two differ in shape.

    Examples:
        ```python
        import torch
        from tamiyo_rl.training import explained_variance

        returns = torch.tensor([1.0, 2.0, 3.0])
        print(explained_variance(returns, returns), explained_variance(torch.ones(3), returns))
        ```

        ```text
        1.0 0.0
        ```
    """
    require_floats(("values", "returns"), (values, returns), dims=("steps",))
    if returns.is_meta or not len(returns) or not (variance := returns.var(correction=0)) > 0:
        return math.nan
    return float(1 - (returns - values).var(correction=0) / variance)


class GradientNorms:
    """Measures the gradient of each part of a policy, before it is clipped.

    The parts of an `LSTMPolicyBundle` are `encoder`, `lstm` and `critic_lstm` (`gru` and
    `critic_gru` with that cell), `initial_state`, `policy` for the layers before the outputs,
    `head/NAME` for the outputs of each action head, `log_std` for the deviations of continuous
    ones, and `value`; those of another policy are the first words of its parameters' names. A part
    that no gradient reached counts 0.

    Args:
        bundle: The policy.

    Examples:
        ```python
        import torch
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training.ppo.diagnostics import GradientNorms

        bundle = LSTMPolicyBundle(feature_dim=4, action_dims={"op": 3, "slot": 5})
        norms = GradientNorms(bundle)
        bundle.forward(torch.zeros(2, 7, 4)).value.sum().backward()
        total = norms.measure()
        print({part: norm > 0 for part, norm in norms.mean().items()})
        ```

        ```text
        {'lstm': True, 'head/op': False, 'head/slot': False, 'value': True}
        ```
    """

    def __init__(self, bundle: PolicyBundle) -> None:
        parameters = dict(bundle.named_parameters())
        outputs = [name for name in parameters if name.startswith("policy_head.")][-2:]
        pieces = [
            (part, parameter, rows)
            for name, parameter in parameters.items()
            for part, rows in _parts(name, bundle, is_output=name in outputs)
        ]
        self._parts = [part for part, _, _ in pieces]
        self._pieces = [(parameter, rows) for _, parameter, rows in pieces]
        self._measured: list[torch.Tensor] = []

    def measure(self) -> torch.Tensor:
        """Take in the norms of the present gradients, and return the norm of the whole gradient."""
        self._measured.append(torch.stack([_norm(*piece) for piece in self._pieces]))
        total: torch.Tensor = torch.linalg.vector_norm(self._measured[-1])
        return total

    def mean(self) -> dict[str, float]:
        """Return the mean norm of each part since the last call, and forget them."""
        squares = torch.stack(self._measured).double().square()
        self._measured.clear()
        by_part: dict[str, torch.Tensor] = {}
        for part, square in zip(self._parts, squares.unbind(dim=1), strict=True):
            by_part[part] = by_part.get(part, torch.zeros_like(square)) + square
        return {part: float(square.sqrt().mean()) for part, square in by_part.items()}


def _norm(parameter: torch.nn.Parameter, rows: slice) -> torch.Tensor:
    if parameter.grad is None:
        return parameter.new_zeros(())
    norm: torch.Tensor = torch.linalg.vector_norm(parameter.grad[rows])
    return norm


def _parts(name: str, bundle: PolicyBundle, *, is_output: bool) -> list[tuple[str, slice]]:
    """Return the parts that a parameter belongs to, and which of its rows."""
    module, _, rest = name.partition(".")
    if is_output:
        dims = bundle.action_dims
        sizes = categorical(dims) | gaussian(dims)  # in the order of the outputs
        ends = list(accumulate(sizes.values()))
        rows = map(slice, [0, *ends[:-1]], ends)
        return [(f"head/{head}", part) for head, part in zip(sizes, rows, strict=True)]
    if module in {"core", "critic_core"} and rest.startswith("initial_"):
        return [("initial_state", slice(None))]
    part = PARTS.get(module, module).format(cell=getattr(bundle, "cell", "lstm"))
    return [(part, slice(None))]


@torch.no_grad()
def hidden_staleness(
    bundle: PolicyBundle, buffer: RolloutBuffer, last: HiddenState, last_starts: torch.Tensor
) -> float:
    """Return how far the stored hidden states are from those of the policy as it is now.

    The policy, as the update left it, runs through the stored rollout once, from the hidden states
    before its first step. What it has before each later stored sequence, and after the last step,
    is compared with what the rollout had there: the root mean square of the difference, divided by
    that of the rollout's states, over h and c of all layers. States before an episode start are
    left out: nothing uses them. 0 means that the update moved no state; 1 that the states moved as
    far as they are large. NaN if there is nothing to compare. Stale states are what recurrent
    replay suffers from (Kapturowski et al. 2019, *R2D2*, section 3).

    Args:
        bundle: The policy, after the update.
        buffer: The rollout that it was trained on.
        last: State of the rollout after its last step, from which the next one begins.
        last_starts: `[B]` bool, true where the next rollout begins with an episode.
    """
    sequences = iter(buffer.sequences())
    first = next(sequences)
    now = _state_after(bundle, first, first.hidden)
    distances = []
    for batch in sequences:
        distances.append(_distance(now, batch.hidden, batch.plan.episode_starts[:, 0]))
        now = _state_after(bundle, batch, now)
    distances.append(_distance(now, last, last_starts))
    moved, size = torch.stack(distances).sum(dim=0).tolist()
    return math.sqrt(moved / size) if size else math.nan


def _state_after(bundle: PolicyBundle, batch: RolloutBatch, hidden: HiddenState) -> HiddenState:
    evaluation = bundle.evaluate_actions(
        batch.features, batch.actions, batch.masks, hidden, episode_starts=batch.plan
    )
    return evaluation.hidden


def _distance(now: HiddenState, then: HiddenState, starts: torch.Tensor) -> torch.Tensor:
    """Return the sums of the squared differences and of the squared states, where they are used."""
    used = ~starts.to(now.h.device)
    new, old = (torch.cat(state.parts)[:, used].double() for state in (now, then))
    return torch.stack([(new - old).square().sum(), old.square().sum()])
