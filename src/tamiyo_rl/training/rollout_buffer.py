"""The recommended way from rollout to training: preallocated ordinary tensors, copied into."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch

from tamiyo_rl.policy.episode_plan import EpisodePlan
from tamiyo_rl.policy.inputs import require_positive
from tamiyo_rl.policy.protocol import ActionResult, HeadTensors, HiddenState, PolicyBundle
from tamiyo_rl.training.gae import generalized_advantages

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class RolloutBatch(NamedTuple):
    """Sequences of stored experience, `b` rows of `S` steps.

    Attributes:
        features: `[b, S, F]`.
        actions: By head, `[b, S]` int64.
        masks: By head, `[b, S, N]` bool; None if none were stored.
        hidden: State of the rollout before each row's first step.
        episode_starts: The plan of the rows' episode starts.
        log_prob: Joint log-probability at the time of the rollout, `[b, S]`.
        value: Value at the time of the rollout, `[b, S]`.
        advantages: `[b, S]`.
        returns: `[b, S]`, advantage plus value.
        valid: `[b, S]` bool, false where a step only reset its environment.
    """

    features: torch.Tensor
    actions: dict[str, torch.Tensor]
    masks: dict[str, torch.Tensor] | None
    hidden: HiddenState
    episode_starts: EpisodePlan
    log_prob: torch.Tensor
    value: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    valid: torch.Tensor


class RolloutBuffer:
    """Stores a rollout, and yields it as sequences for training (C6).

    What comes out are ordinary tensors that share no memory with what went in, also when the
    buffer is built, filled or sampled under inference mode. The hidden state is stored at the
    start of every sequence, so that training continues from where the rollout was (C5, C7).

    Args:
        bundle: The policy; it says the shapes, device and dtype.
        num_envs: Environments, B.
        num_steps: Steps of one rollout, T.
        sequence_length: Steps of one training row, a divisor of T; None for T.

    Raises:
        ValueError: If a size is below 1, or `sequence_length` does not divide `num_steps`.

    Examples:
        ```python
        import torch
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import RolloutBuffer

        bundle = LSTMPolicyBundle(feature_dim=3, action_dims=2)
        buffer = RolloutBuffer(bundle, num_envs=4, num_steps=8, sequence_length=4)
        hidden, starts = bundle.initial_hidden(4), torch.ones(4, dtype=torch.bool)
        for _ in range(8):
            features = torch.randn(4, 3)
            result = bundle.get_action(features, hidden=hidden, episode_starts=starts)
            reward, never = torch.ones(4), torch.zeros(4, dtype=torch.bool)
            buffer.add(
                features, result, hidden=hidden, episode_starts=starts,
                rewards=reward, terminated=never, truncated=never,
            )
            hidden, starts = result.hidden, never
        buffer.finish(bundle.get_value(features, hidden), gamma=0.99, gae_lambda=0.95)

        for batch in buffer.minibatches(2):
            result = bundle.evaluate_actions(
                batch.features, batch.actions, hidden=batch.hidden,
                episode_starts=batch.episode_starts,
            )
            same = torch.allclose(result.joint_log_prob, batch.log_prob, atol=1e-5)
            print(list(batch.features.shape), batch.features.is_inference(), same)
        ```

        ```text
        [4, 4, 3] False True
        [4, 4, 3] False True
        ```
    """

    @torch.inference_mode(mode=False)
    def __init__(
        self,
        bundle: PolicyBundle,
        num_envs: int,
        num_steps: int,
        *,
        sequence_length: int | None = None,
    ) -> None:
        length = num_steps if sequence_length is None else sequence_length
        require_positive(num_envs=num_envs, num_steps=num_steps, sequence_length=length)
        if num_steps % length:
            raise ValueError(
                f"sequence_length: expected a divisor of num_steps={num_steps}, got {length}."
            )
        self.num_envs, self.num_steps, self.sequence_length = num_envs, num_steps, length
        self.num_rows = num_envs * num_steps // length
        self._masked = False
        self._allocate(bundle)
        self.reset()

    def _allocate(self, bundle: PolicyBundle) -> None:
        shape, device = (self.num_envs, self.num_steps), bundle.device
        floats = partial(torch.zeros, device=device, dtype=bundle.dtype)
        flags = partial(torch.zeros, dtype=torch.bool, device=device)
        layers, _, width = bundle.initial_hidden(1).h.shape
        self._features = floats(*shape, bundle.feature_dim)
        self._hidden = HiddenState(*(floats(self.num_rows, layers, width) for _ in range(2)))
        self._actions = {n: flags(shape).long() for n in bundle.action_dims}
        self._masks = {n: ~flags(*shape, size) for n, size in bundle.action_dims.items()}
        self._log_prob, self._value, self._next_value, self._rewards, self._advantages = (
            floats(shape) for _ in range(5)
        )
        self._terminated, self._truncated, self._valid, self._final = (
            flags(shape) for _ in range(4)
        )
        self._starts = torch.zeros(shape, dtype=torch.bool, device="cpu")

    def reset(self) -> None:
        """Forget what was stored, to begin the next rollout."""
        self._step = 0
        self._plan: EpisodePlan | None = None

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def add(  # noqa: PLR0913 - what one step of experience is made of
        self,
        features: torch.Tensor,
        result: ActionResult,
        *,
        hidden: HiddenState,
        episode_starts: torch.Tensor,
        rewards: ArrayLike,
        terminated: ArrayLike,
        truncated: ArrayLike,
        masks: HeadTensors | None = None,
        final_values: torch.Tensor | None = None,
        valid: ArrayLike = True,
    ) -> None:
        """Copy one step in.

        Args:
            features: `[B, F]`, what the policy saw.
            result: What `get_action` returned.
            hidden: State *before* the step, as it was passed to `get_action`.
            episode_starts: `[B]` bool, true where the step is the first of its episode.
            rewards: `[B]`.
            terminated: `[B]` bool.
            truncated: `[B]` bool.
            masks: By head, `[B, N]` bool, as they were passed to `get_action`.
            final_values: `[B]`, value of the true final observation where an episode ended and
                the environment has begun the next one; None if the next step sees it.
            valid: `[B]` bool, false where the step only resets the environment: its action has
                no effect, so training leaves it out.

        Raises:
            ValueError: If the buffer is full, or rewards are not finite.
        """
        if self._step == self.num_steps:
            raise ValueError(
                f"RolloutBuffer: expected at most {self.num_steps} steps, got one more. Call "
                "reset() before the next rollout."
            )
        step = self._step
        self._rewards[:, step] = self._finite_rewards(rewards)
        self._features[:, step] = features
        self._log_prob[:, step] = result.joint_log_prob
        self._value[:, step] = result.value
        for name, action in result.action.items():
            self._actions[name][:, step] = action
        for name, mask in (masks or {}).items():
            self._masks[name][:, step] = mask
        self._masked |= masks is not None
        self._terminated[:, step] = torch.as_tensor(terminated, device=self._rewards.device)
        self._truncated[:, step] = torch.as_tensor(truncated, device=self._rewards.device)
        self._valid[:, step] = torch.as_tensor(valid, device=self._rewards.device)
        self._starts[:, step] = episode_starts
        self._store_final_values(step, final_values)
        self._store_hidden(step, hidden)
        self._step += 1

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def finish(self, last_values: torch.Tensor, *, gamma: float, gae_lambda: float) -> None:
        """Compute advantages and returns, and plan the episode resets.

        Args:
            last_values: `[B]`, value of the observation after the last step.
            gamma: Discount factor.
            gae_lambda: Decay of the multi-step estimates.

        Raises:
            ValueError: If the buffer is not full.
        """
        if self._step < self.num_steps:
            raise ValueError(
                f"RolloutBuffer: expected {self.num_steps} steps before finish(), got {self._step}."
            )
        following = torch.cat([self._value[:, 1:], last_values.to(self._value)[:, None]], dim=1)
        next_values = torch.where(self._final, self._next_value, following)
        self._advantages = generalized_advantages(
            self._rewards,
            self._value,
            next_values,
            self._terminated,
            self._truncated,
            gamma=gamma,
            gae_lambda=gae_lambda,
        )
        self._plan = EpisodePlan(self._starts.view(self.num_rows, self.sequence_length))

    def minibatches(
        self, count: int, generator: torch.Generator | None = None
    ) -> Iterator[RolloutBatch]:
        """Yield the rows in random order, in `count` minibatches of equal size.

        Args:
            count: Minibatches, a divisor of the number of rows.
            generator: CPU generator of the order; None for PyTorch's default one.

        Raises:
            ValueError: If `count` does not divide the rows, or `finish` was not called.
        """
        if self._plan is None:
            raise ValueError("RolloutBuffer: expected finish() before minibatches().")
        if count < 1 or self.num_rows % count:
            raise ValueError(f"count: expected a divisor of the {self.num_rows} rows, got {count}.")
        order = torch.randperm(self.num_rows, generator=generator, device="cpu")
        for rows in order.chunk(count):
            yield self._gather(rows, self._plan)

    @torch.inference_mode(mode=False)
    def _gather(self, rows: torch.Tensor, plan: EpisodePlan) -> RolloutBatch:
        index = rows.clone().to(self._rewards.device, non_blocking=True)
        take = partial(self._take, index=index)
        h, c = (state[index].transpose(0, 1).contiguous() for state in self._hidden)
        advantages, value = take(self._advantages), take(self._value)
        return RolloutBatch(
            features=take(self._features),
            actions={name: take(action) for name, action in self._actions.items()},
            masks={n: take(m) for n, m in self._masks.items()} if self._masked else None,
            hidden=HiddenState(h, c),
            episode_starts=plan.rows(rows),
            log_prob=take(self._log_prob),
            value=value,
            advantages=advantages,
            returns=advantages + value,
            valid=take(self._valid),
        )

    def _take(self, stored: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Gather rows of `[B, T, ...]` cut into sequences: a copy."""
        return stored.view(self.num_rows, self.sequence_length, *stored.shape[2:])[index]

    def _finite_rewards(self, rewards: ArrayLike) -> torch.Tensor:
        tensor = torch.as_tensor(rewards).to(self._rewards)
        if not tensor.is_meta and not bool(tensor.isfinite().all()):
            bad = (~tensor.isfinite()).nonzero().flatten().tolist()
            raise ValueError(f"rewards: expected finite numbers, got NaN or inf at rows {bad}.")
        return tensor

    def _store_final_values(self, step: int, values: torch.Tensor | None) -> None:
        ended = self._terminated[:, step] | self._truncated[:, step]
        self._final[:, step] = ended if values is not None else False
        if values is not None:
            self._next_value[:, step] = values

    def _store_hidden(self, step: int, hidden: HiddenState) -> None:
        if step % self.sequence_length:
            return
        first = step // self.sequence_length
        every = self.num_steps // self.sequence_length
        for stored, state in zip(self._hidden, hidden, strict=True):
            stored[first::every] = state.transpose(0, 1)
