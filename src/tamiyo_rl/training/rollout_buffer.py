"""The recommended way from rollout to training: preallocated ordinary tensors, copied into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch

from tamiyo_rl.policy.episode_plan import EpisodePlan
from tamiyo_rl.policy.inputs import InputChecks, require_positive, require_shape
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
        self._allocate(bundle)
        self.reset()

    def _allocate(self, bundle: PolicyBundle) -> None:
        shape, device = (self.num_envs, self.num_steps), bundle.device
        floats = partial(torch.zeros, device=device, dtype=bundle.dtype)
        flags = partial(torch.zeros, dtype=torch.bool, device=device)
        layers, _, width = bundle.initial_hidden(1).h.shape
        self._checks = InputChecks(
            feature_dim=bundle.feature_dim,
            action_dims=bundle.action_dims,
            num_layers=layers,
            hidden_dim=width,
            device=bundle.device,
            dtype=bundle.dtype,
            read_values=True,
            steps=(self.num_envs,),
        )
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
        self._masked = False
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
            TypeError: If an argument has the wrong type or dtype.
            ValueError: If the buffer is full, or an argument has the wrong shape, device or
                values; nothing is stored then.
        """
        if self._step == self.num_steps:
            raise ValueError(
                f"RolloutBuffer: expected at most {self.num_steps} steps, got one more. Call "
                "reset() before the next rollout."
            )
        checks = self._checks
        state = checks.hidden(hidden)
        if state is None:
            raise TypeError("hidden: expected the state before the step, got None.")
        given = None if masks is None else checks.masks(masks)
        ends = self._flags("terminated", terminated), self._flags("truncated", truncated)
        row: list[tuple[torch.Tensor, torch.Tensor]] = [
            (self._features, checks.step_features(features)),
            (self._starts, checks.episode_starts(episode_starts)),
            (self._log_prob, self._numbers("log_prob", result.joint_log_prob)),
            (self._value, self._numbers("value", result.value)),
            (self._rewards, self._numbers("rewards", rewards)),
            (self._valid, self._flags("valid", valid)),
            *zip((self._terminated, self._truncated), ends, strict=True),
            *self._final_columns(final_values, ends[0] | ends[1]),
        ]
        chosen = checks.actions(result.action, given)
        row += [(self._actions[name], action) for name, action in chosen.items()]
        row += [
            (stored, torch.ones_like(stored[:, 0]) if given is None else given[name])
            for name, stored in self._masks.items()
        ]
        self._write(row, state)
        self._masked |= masks is not None

    def _numbers(self, name: str, value: ArrayLike | torch.Tensor) -> torch.Tensor:
        """Return one finite number for each environment, `[B]`."""
        row = require_shape(name, _as_tensor(name, value), {"batch": self.num_envs})
        if not row.is_meta and not bool(row.isfinite().all()):
            bad = (~row.isfinite()).nonzero().flatten().tolist()
            raise ValueError(f"{name}: expected finite numbers, got NaN or inf at rows {bad}.")
        return row.to(self._rewards)

    def _flags(self, name: str, value: ArrayLike | torch.Tensor) -> torch.Tensor:
        """Return one flag for each environment, `[B]`."""
        row = _as_tensor(name, value)
        if name == "valid" and row.dim() == 0:
            row = row.expand(self.num_envs)
        return require_shape(name, row, {"batch": self.num_envs}).to(self._valid)

    def _final_columns(
        self, values: torch.Tensor | None, ended: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        if values is None:
            return [(self._final, torch.zeros_like(ended))]
        return [(self._final, ended), (self._next_value, self._numbers("final_values", values))]

    def _write(self, row: list[tuple[torch.Tensor, torch.Tensor]], state: HiddenState) -> None:
        """Copy one checked step into its column; the hidden state where a sequence begins."""
        for stored, column in row:
            stored[:, self._step] = column
        if self._step % self.sequence_length == 0:
            first = self._step // self.sequence_length
            every = self.num_steps // self.sequence_length
            for stored, part in zip(self._hidden, state, strict=True):
                stored[first::every] = part.transpose(0, 1)
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
            ValueError: If the buffer is not full, or `last_values` are not B finite numbers.
        """
        if self._step < self.num_steps:
            raise ValueError(
                f"RolloutBuffer: expected {self.num_steps} steps before finish(), got {self._step}."
            )
        last = self._numbers("last_values", last_values)
        following = torch.cat([self._value[:, 1:], last[:, None]], dim=1)
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
            ValueError: If `count` does not divide the rows, `finish` was not called, or the next
                rollout begins while the minibatches are still being taken.
        """
        plan = self._finished_plan()
        require_positive(count=count)
        if self.num_rows % count:
            raise ValueError(f"count: expected a divisor of the {self.num_rows} rows, got {count}.")
        order = torch.randperm(self.num_rows, generator=generator, device="cpu")
        return self._take_in_turn(order.chunk(count), plan)

    def sequences(self) -> Iterator[RolloutBatch]:
        """Yield the sequences in the order of time, each with a row for every environment.

        Raises:
            ValueError: If `finish` was not called.
        """
        plan = self._finished_plan()
        every = self.num_steps // self.sequence_length
        rows = torch.arange(self.num_rows, device="cpu").view(-1, every)
        return self._take_in_turn(rows.unbind(dim=1), plan)

    @torch.inference_mode(mode=False)
    def values_and_returns(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the values and the returns of the valid steps, `[N]` each.

        Raises:
            ValueError: If `finish` was not called.
        """
        self._finished_plan()
        values = self._value[self._valid]
        return values, values + self._advantages[self._valid]

    def _take_in_turn(
        self, parts: Iterable[torch.Tensor], plan: EpisodePlan
    ) -> Iterator[RolloutBatch]:
        for rows in parts:
            if self._finished_plan() is not plan:
                raise ValueError("minibatches: expected the rollout they came from, got another.")
            yield self._gather(rows, plan)

    def _finished_plan(self) -> EpisodePlan:
        if self._plan is None:
            raise ValueError("RolloutBuffer: expected finish() before minibatches().")
        return self._plan

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


def _as_tensor(name: str, value: ArrayLike | torch.Tensor) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        return value
    try:
        return torch.as_tensor(value, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: expected numbers, got {value!r}.") from error
