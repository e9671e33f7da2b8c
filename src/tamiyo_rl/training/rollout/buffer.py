"""The recommended way from rollout to training: preallocated ordinary tensors, copied into."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch

from tamiyo_rl.checks import describe, require_positive, require_shape
from tamiyo_rl.policy.action_dims import Gaussian, categorical
from tamiyo_rl.policy.inputs import require_masks
from tamiyo_rl.policy.protocol import HeadTensors, PolicyBundle
from tamiyo_rl.policy.results import ActionResult
from tamiyo_rl.recurrent.episode_plan import EpisodePlan
from tamiyo_rl.recurrent.hidden_state import HiddenState
from tamiyo_rl.training.rollout.gae import compute_gae
from tamiyo_rl.training.rollout.returned import Returned

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class RolloutBatch(NamedTuple):
    """Sequences of stored experience, `b` rows of `S` steps.

    Attributes:
        features: `[b, S, F]`.
        actions: By head, `[b, S]` int64, or `[b, S, D]` floating point.
        masks: By categorical head, `[b, S, N]` bool; None if none were stored.
        hidden: State of the rollout before each row's first step.
        plan: Where episodes start in the rows; pass it as `episode_starts`.
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
    plan: EpisodePlan
    log_prob: torch.Tensor
    value: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor
    valid: torch.Tensor


class RolloutBuffer:
    """Stores a rollout, and yields it as sequences for training (C6).

    It yields ordinary tensors that share no memory with what went in, also when the
    buffer is built, filled or sampled under inference mode. The hidden state is stored at the
    start of every sequence, so that training continues from where the rollout was (C5, C7).

    Args:
        bundle: The policy; it says the shapes, device and dtype.
        num_envs: Environments, B.
        num_steps: Steps of one rollout, T.
        sequence_length: Steps of one training row, a divisor of T; None for T.
        feature_dtype: Type in which features are stored, such as `torch.uint8` for images; None for
            that of the policy.

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
            hidden = result.hidden
            starts = never
        buffer.finish(bundle.get_value(features, hidden), gamma=0.99, gae_lambda=0.95)

        for batch in buffer.minibatches(2):
            result = bundle.evaluate_actions(
                batch.features, batch.actions, hidden=batch.hidden,
                episode_starts=batch.plan,
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
        feature_dtype: torch.dtype | None = None,
    ) -> None:
        length = num_steps if sequence_length is None else sequence_length
        require_positive(num_envs=num_envs, num_steps=num_steps, sequence_length=length)
        if num_steps % length:
            raise ValueError(
                f"sequence_length: expected a divisor of num_steps={num_steps}, got {length}."
            )
        self.num_envs = num_envs
        self.num_steps = num_steps
        self.sequence_length = length
        self.num_rows = num_envs * num_steps // length
        self._allocate(bundle, feature_dtype or bundle.dtype)
        self.reset()

    def _allocate(self, bundle: PolicyBundle, feature_dtype: torch.dtype) -> None:
        shape = (self.num_envs, self.num_steps)
        floats = partial(torch.zeros, device=bundle.device, dtype=bundle.dtype)
        self._num_choices = categorical(bundle.action_dims)
        self._features = floats(*shape, bundle.feature_dim, dtype=feature_dtype)
        self._actions = {
            head: floats(*shape, dims.size)
            if isinstance(dims, Gaussian)
            else floats(shape, dtype=torch.int64)
            for head, dims in bundle.action_dims.items()
        }
        self._masks = floats(*shape, sum(self._num_choices.values()), dtype=torch.bool)
        self._log_prob = floats(shape)
        self._value = floats(shape)
        self._final_value = floats(shape)
        layers, _, width = bundle.initial_hidden(1).h.shape
        self._hidden = bundle.initial_hidden(1).map(lambda _: floats(self.num_rows, layers, width))
        self._returned = Returned.allocate(shape)
        # Views of each step, made once: an assignment by index takes three times as long.
        self._action_names = {name: f'actions["{name}"]' for name in self._actions}
        self._views = {
            "features": self._features.unbind(1),
            "log_prob": self._log_prob.unbind(1),
            "value": self._value.unbind(1),
            "final_values": self._final_value.unbind(1),
            **{self._action_names[name]: a.unbind(1) for name, a in self._actions.items()},
        }

    @property
    def feature_bytes(self) -> int:
        """Memory that the features take, in bytes."""
        return self._features.nbytes

    def reset(self) -> None:
        """Forget what was stored, to begin the next rollout."""
        self._step = 0
        self._masked = False
        self._plan: EpisodePlan | None = None

    @torch.no_grad()
    def add(
        self,
        features: torch.Tensor,
        result: ActionResult,
        *,
        hidden: HiddenState,
        episode_starts: torch.Tensor | ArrayLike,
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
            masks: By categorical head, `[B, N]` bool, as they were passed to `get_action`.
            final_values: `[B]`, value of the true final observation where an episode ended and
                the environment has begun the next one; None if the next step sees it.
            valid: `[B]` bool, false where the step only resets the environment: its action has
                no effect, so training leaves it out.

        What `get_action` and the environment returned is copied as it is: they vouch for it.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If the buffer is full, or an argument has the wrong shape; the step counts
                only when all of it is stored.
        """
        if self._step == self.num_steps:
            raise ValueError(
                f"RolloutBuffer: expected at most {self.num_steps} steps, got one more. Call "
                "reset() before the next rollout."
            )
        if not isinstance(result, ActionResult):
            raise TypeError(f"result: expected an ActionResult, got {describe(result)}.")
        self._require_kept(features)
        self._copy("features", features)
        self._copy("log_prob", result.joint_log_prob)
        self._copy("value", result.value)
        for head, action in result.action.items():
            self._copy(self._action_names[head], action)
        if final_values is not None:
            self._copy("final_values", final_values)
        self._returned.store(
            self._step,
            episode_starts=episode_starts,
            rewards=rewards,
            terminated=terminated,
            truncated=truncated,
            valid=valid,
            has_final=final_values is not None,
        )
        self._store_masks(masks)
        if self._step % self.sequence_length == 0:
            self._store_hidden(hidden)
        self._step += 1

    def _require_kept(self, features: torch.Tensor) -> None:
        """Raise if storing the features would cut their fractions off."""
        dtype = self._features.dtype
        if not dtype.is_floating_point and getattr(features, "dtype", dtype) != dtype:
            raise TypeError(
                f"features: expected {dtype}, as they are stored, got {features.dtype}."
            )

    def _copy(self, name: str, value: torch.Tensor) -> None:
        column = self._views[name][self._step]
        if type(value) is not torch.Tensor or value.shape != column.shape:
            value = require_shape(name, value, {f"dim {d}": n for d, n in enumerate(column.shape)})
        column.copy_(value)

    def _store_masks(self, masks: HeadTensors | None) -> None:
        if masks is not None:
            by_head = require_masks(masks, self._num_choices)
            if not self._masked:
                self._masks.fill_(value=True)  # the steps before had none
            self._masks[:, self._step] = torch.cat(list(by_head.values()), dim=-1)
            self._masked = True
        elif self._masked:
            self._masks[:, self._step] = True

    def _store_hidden(self, hidden: HiddenState) -> None:
        """Keep the state before a sequence."""
        given = [p for p in hidden if p is not None] if isinstance(hidden, tuple) else []
        if len(given) != len(self._hidden.parts):
            raise TypeError(f"hidden: expected the state before the step, got {describe(hidden)}.")
        first = self._step // self.sequence_length
        every = self.num_steps // self.sequence_length
        for name, states, part in zip("hc", self._hidden.parts, given, strict=False):
            rows = states[first::every].transpose(0, 1)
            sizes = dict(zip(("layers", "batch", "hidden"), rows.shape, strict=True))
            rows.copy_(require_shape(f"hidden.{name}", part, sizes))

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def finish(self, last_values: torch.Tensor, *, gamma: float, gae_lambda: float) -> None:
        """Compute advantages and returns, and plan the episode resets.

        Args:
            last_values: `[B]`, value of the observation after the last step.
            gamma: Discount factor.
            gae_lambda: Decay of the multi-step estimates.

        Raises:
            ValueError: If the buffer is not full, `last_values` has another shape, a number is not
                finite, or a factor is not from 0 to 1.
        """
        if self._step < self.num_steps:
            raise ValueError(
                f"RolloutBuffer: expected {self.num_steps} steps before finish(), got {self._step}."
            )
        last_values = require_shape("last_values", last_values, {"batch": self.num_envs})
        returned = self._returned
        rewards = torch.from_numpy(returned.rewards).to(self._value)
        terminated, truncated, final, valid = (
            torch.from_numpy(flags).to(self._value.device, copy=True)
            for flags in (returned.terminated, returned.truncated, returned.final, returned.valid)
        )
        for name, numbers in (
            ("rewards", rewards),
            ("log_prob", self._log_prob),
            ("value", self._value),
            ("final_values", self._final_value.masked_fill(~final, 0)),
            ("last_values", last_values),
        ):
            _require_finite(name, numbers)
        following = torch.cat([self._value[:, 1:], last_values[:, None].to(self._value)], dim=1)
        self._advantages = compute_gae(
            rewards,
            self._value,
            torch.where(final, self._final_value, following),
            terminated,
            truncated,
            gamma=gamma,
            gae_lambda=gae_lambda,
        )
        self._valid = valid
        starts = torch.from_numpy(returned.episode_starts)
        self._plan = EpisodePlan(starts.view(self.num_rows, self.sequence_length))

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
            TypeError: If `generator` is not a `torch.Generator`.
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
        values = self._value[self._valid]
        return values, values + self._advantages[self._valid]

    def _take_in_turn(
        self, parts: Sequence[torch.Tensor], plan: EpisodePlan
    ) -> Iterator[RolloutBatch]:
        for rows, plan_of_rows in zip(parts, plan.split(parts), strict=True):
            if self._finished_plan() is not plan:
                raise ValueError("minibatches: expected the rollout they came from, got another.")
            yield self._gather(rows, plan_of_rows)

    def _finished_plan(self) -> EpisodePlan:
        if self._plan is None:
            raise ValueError("RolloutBuffer: expected finish() before minibatches().")
        return self._plan

    # enforces C6
    @torch.inference_mode(mode=False)
    def _gather(self, rows: torch.Tensor, plan: EpisodePlan) -> RolloutBatch:
        index = rows.clone().to(self._value.device, non_blocking=True)
        take = partial(self._take, index=index)
        advantages = take(self._advantages)
        value = take(self._value)
        return RolloutBatch(
            features=take(self._features),
            actions={head: take(action) for head, action in self._actions.items()},
            masks=self._masks_by_head(take(self._masks)) if self._masked else None,
            hidden=self._hidden.map(lambda state: state[index].transpose(0, 1).contiguous()),
            plan=plan,
            log_prob=take(self._log_prob),
            value=value,
            advantages=advantages,
            returns=advantages + value,
            valid=take(self._valid),
        )

    def _masks_by_head(self, masks: torch.Tensor) -> dict[str, torch.Tensor]:
        parts = masks.split(list(self._num_choices.values()), dim=-1)
        return dict(zip(self._num_choices, parts, strict=True))

    def _take(self, stored: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Gather rows of `[B, T, ...]` cut into sequences: a copy."""
        return stored.view(self.num_rows, self.sequence_length, *stored.shape[2:])[index]


def _require_finite(name: str, numbers: torch.Tensor) -> None:
    if numbers.is_meta or numbers.isfinite().all():
        return
    place = (~numbers.isfinite()).nonzero()[0].tolist()
    where = f"environment {place[0]}" + (f" at step {place[1]} of the rollout" if place[1:] else "")
    raise ValueError(f"{name}: expected finite numbers, got {numbers[tuple(place)]} from {where}.")
