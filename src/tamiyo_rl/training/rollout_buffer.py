"""The recommended way from rollout to training: preallocated ordinary tensors, copied into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch

from tamiyo_rl.policy.episode_plan import EpisodePlan
from tamiyo_rl.policy.inputs import InputChecks, require_positive
from tamiyo_rl.policy.protocol import ActionResult, HeadTensors, HiddenState, PolicyBundle
from tamiyo_rl.training.checks import require_number
from tamiyo_rl.training.gae import generalized_advantages
from tamiyo_rl.training.step_checks import StepChecks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


# What is stored of a step, in this order: numbers and flags of each environment.
NUMBERS = LOG_PROB, VALUE, REWARDS, FINAL_VALUE = range(4)
FLAGS = TERMINATED, TRUNCATED, VALID, FINAL = range(4)


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
        self._action_dims = dict(bundle.action_dims)
        # Not part of the protocol: a wrong guess costs time alone.
        self._learns_initial_hidden = getattr(bundle, "learn_initial_hidden", False)
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
        self._step_checks = StepChecks(self._checks)
        self._features = floats(*shape, bundle.feature_dim)
        self._hidden = HiddenState(*(floats(self.num_rows, layers, width) for _ in range(2)))
        self._actions = flags(len(bundle.action_dims), *shape).long()
        self._masks = flags(*shape, sum(bundle.action_dims.values()))
        self._numbers, self._flags = floats(len(NUMBERS), *shape), flags(len(FLAGS), *shape)
        self._starts = torch.zeros(shape, dtype=torch.bool, device="cpu")
        # Views of each step, made once: an assignment by index takes three times as long.
        by_time = (self._features, 1), (self._actions, -1), (self._numbers, -1), (self._flags, -1)
        every = *by_time, (self._starts, -1), (self._masks, 1)
        self._steps = list(zip(*(stored.unbind(dim) for stored, dim in every), strict=True))

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
        if not isinstance(result, ActionResult):
            raise TypeError(f"result: expected an ActionResult, got {type(result).__name__}.")
        checks = self._checks
        state = checks.hidden(hidden)
        if state is None:
            raise TypeError("hidden: expected the state before the step, got None.")
        given = None if masks is None else checks.masks(masks)
        row = (
            checks.step_features(features),
            torch.stack(list(checks.actions(result.action, given).values())),
            self._step_checks.numbers(result, rewards, final_values),
            self._step_checks.flags(
                terminated, truncated, valid, has_final=final_values is not None
            ),
            checks.episode_starts(episode_starts),
        )
        self._write(row, None if given is None else torch.cat(list(given.values()), dim=-1), state)

    def _write(
        self, row: tuple[torch.Tensor, ...], masks: torch.Tensor | None, state: HiddenState
    ) -> None:
        """Copy one checked step in; the hidden state too where a sequence begins."""
        *stored, stored_masks = self._steps[self._step]
        for column, values in zip(stored, row, strict=True):
            column.copy_(values)
        if masks is not None:
            if not self._masked:
                self._masks.fill_(value=True)  # the steps before had none
            stored_masks.copy_(masks)
            self._masked = True
        elif self._masked:
            stored_masks.fill_(value=True)
        if self._step % self.sequence_length == 0:
            first = self._step // self.sequence_length
            every = self.num_steps // self.sequence_length
            for states, part in zip(self._hidden, state, strict=True):
                states[first::every] = part.transpose(0, 1)
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
            ValueError: If the buffer is not full, `last_values` are not B finite numbers, or a
                factor is not from 0 to 1.
        """
        if self._step < self.num_steps:
            raise ValueError(
                f"RolloutBuffer: expected {self.num_steps} steps before finish(), got {self._step}."
            )
        require_number("gamma", gamma, 0, 1)
        require_number("gae_lambda", gae_lambda, 0, 1)
        (last,) = self._step_checks.finite(last_values=last_values)
        _, value, rewards, final_value = self._numbers
        terminated, truncated, _, final = self._flags
        following = torch.cat([value[:, 1:], last[:, None]], dim=1)
        self._advantages = generalized_advantages(
            rewards,
            value,
            torch.where(final, final_value, following),
            terminated,
            truncated,
            gamma=gamma,
            gae_lambda=gae_lambda,
        )
        self._plan = EpisodePlan(self._starts.view(self.num_rows, self.sequence_length))

    def minibatches(
        self, count: int, generator: torch.Generator | None = None, *, epochs: int = 1
    ) -> Iterator[RolloutBatch]:
        """Yield the rows in random order, in `count` minibatches of equal size; anew each epoch.

        The episodes of all minibatches are planned at once, which takes less time than between
        training steps; one minibatch of all rows keeps their order, and is planned once.

        Args:
            count: Minibatches of an epoch, a divisor of the number of rows.
            generator: CPU generator of the order; None for PyTorch's default one.
            epochs: How often each row comes.

        Raises:
            TypeError: If `generator` is none.
            ValueError: If `count` does not divide the rows, `epochs` is below 1, `finish` was not
                called, or the next rollout begins while the minibatches are still being taken.
        """
        plan = self._finished_plan()
        require_positive(count=count, epochs=epochs)
        if self.num_rows % count:
            raise ValueError(f"count: expected a divisor of the {self.num_rows} rows, got {count}.")
        if generator is not None and not isinstance(generator, torch.Generator):
            raise TypeError(f"generator: expected a torch.Generator or None, got {generator!r}.")
        orders = [
            torch.randperm(self.num_rows, generator=generator, device="cpu") for _ in range(epochs)
        ]
        if count == 1:
            orders = [order.sort().values for order in orders]
        return self._take_in_turn([rows for order in orders for rows in order.chunk(count)], plan)

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
        valid = self._flags[VALID]
        values = self._numbers[VALUE][valid]
        return values, values + self._advantages[valid]

    def _take_in_turn(
        self, parts: Sequence[torch.Tensor], plan: EpisodePlan
    ) -> Iterator[RolloutBatch]:
        plans = plan.split(parts, self._numbers.device, learned=self._learns_initial_hidden)
        for rows, plan_of_rows in zip(parts, plans, strict=True):
            if self._finished_plan() is not plan:
                raise ValueError("minibatches: expected the rollout they came from, got another.")
            yield self._gather(rows, plan_of_rows)

    def _finished_plan(self) -> EpisodePlan:
        if self._plan is None:
            raise ValueError("RolloutBuffer: expected finish() before minibatches().")
        return self._plan

    @torch.inference_mode(mode=False)
    def _gather(self, rows: torch.Tensor, plan: EpisodePlan) -> RolloutBatch:
        index = rows.clone().to(self._numbers.device, non_blocking=True)
        take = partial(self._take, index=index)
        h, c = (state[index].transpose(0, 1).contiguous() for state in self._hidden)
        advantages, value = take(self._advantages), take(self._numbers[VALUE])
        return RolloutBatch(
            features=take(self._features),
            actions=dict(zip(self._action_dims, map(take, self._actions), strict=True)),
            masks=self._masks_by_head(take(self._masks)) if self._masked else None,
            hidden=HiddenState(h, c),
            episode_starts=plan,
            log_prob=take(self._numbers[LOG_PROB]),
            value=value,
            advantages=advantages,
            returns=advantages + value,
            valid=take(self._flags[VALID]),
        )

    def _masks_by_head(self, masks: torch.Tensor) -> dict[str, torch.Tensor]:
        parts = masks.split(list(self._action_dims.values()), dim=-1)
        return dict(zip(self._action_dims, parts, strict=True))

    def _take(self, stored: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Gather rows of `[B, T, ...]` cut into sequences: a copy."""
        return stored.view(self.num_rows, self.sequence_length, *stored.shape[2:])[index]
