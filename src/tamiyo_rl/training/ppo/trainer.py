"""Proximal policy optimisation with a recurrent policy: a reference user of the bundle."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import torch
from gymnasium.vector import VectorEnv

from tamiyo_rl.policy.network import FactoredRecurrentActorCritic
from tamiyo_rl.policy.protocol import PolicyBundle
from tamiyo_rl.training.checks import require_fit
from tamiyo_rl.training.config import PPOConfig
from tamiyo_rl.training.distributed import gather_to_first, largest_of_processes, rank, world_size
from tamiyo_rl.training.ppo.diagnostics import UpdateReport, explained_variance, hidden_staleness
from tamiyo_rl.training.ppo.seeding import random_state, seed_generators, set_random_state
from tamiyo_rl.training.ppo.updater import PPOUpdater, UpdateResult
from tamiyo_rl.training.rollout.buffer import RolloutBuffer
from tamiyo_rl.training.rollout.collector import RolloutCollector, reads_images
from tamiyo_rl.training.rollout.normalization import FeatureNormalizer


class RecurrentPPO:
    """Trains a bundle with PPO (Schulman et al. 2017, arXiv:1707.06347) on a vector environment.

    Observations and rewards are normalised by running statistics, unless the settings say no. The
    LSTM is trained through whole stored sequences that continue from the rollout's hidden states
    (truncated BPTT). Action masks of the environment are obeyed (`ActionMasks`). A run that breaks
    an invariant stops with an error that says which, before the parameters change.

    Args:
        envs: Gymnasium vector environment, in any autoreset mode.
        bundle: The policy; its sizes are those of the environment's spaces.
        config: Settings.

    Raises:
        ValueError: If the spaces are not supported or do not fit the bundle, or the settings do
            not fit the number of environments.
        ContractError: From `train()`, if a term of the first loss is a constant or a parameter is
            not trained, the ratio before an update is not 1, or a loss is not finite.

    Examples:
        ```python
        import torch
        from tamiyo_rl import LSTMPolicyBundle
        from tamiyo_rl.training import PPOConfig, RecurrentPPO, make_envs

        envs = make_envs(num_envs=8)
        bundle = LSTMPolicyBundle.from_spaces(
            envs.single_observation_space, envs.single_action_space, hidden_dim=32
        )
        trainer = RecurrentPPO(envs, bundle, PPOConfig(total_steps=2048, epochs=2))
        for report in trainer.train():
            print(report.steps, report.first_ratio_error < 1e-3)
        ```

        ```text
        256 True
        512 True
        768 True
        1024 True
        1280 True
        1536 True
        1792 True
        2048 True
        ```
    """

    def __init__(
        self, envs: VectorEnv[Any, Any, Any], bundle: PolicyBundle, config: PPOConfig
    ) -> None:
        require_fit(bundle, envs)
        if not isinstance(config, PPOConfig):
            raise TypeError(f"config: expected a PPOConfig, got {type(config).__name__}.")
        self.bundle = bundle
        self.config = config
        self.envs = envs
        self._require_whole_rollouts()
        self._require_wrapped()
        self.buffer = RolloutBuffer(
            bundle,
            envs.num_envs,
            config.num_steps,
            sequence_length=config.sequence_length,
            feature_dtype=torch.uint8 if reads_images(bundle, envs) else None,
        )
        self.collector = RolloutCollector(envs, bundle, self.buffer, config)
        self.updater = PPOUpdater(bundle, config)
        self.steps = 0
        self._is_seeded = False

    @property
    def normalizer(self) -> FeatureNormalizer:
        """Statistics of the features."""
        return self.collector.normalizer

    @property
    def total_steps(self) -> int:
        """Environment steps of the whole rollouts that `config.total_steps` holds."""
        return self.config.total_steps // self._rollout_steps * self._rollout_steps

    @property
    def _rollout_steps(self) -> int:
        return self.envs.num_envs * self.config.num_steps * world_size()

    def train(self) -> Iterator[UpdateReport]:
        """Train for as many whole rollouts as `total_steps` holds, yielding a report after each.

        Before the first rollout the policy plays `normalization_steps` for the statistics only.
        After `load_state_dict` the training goes on from there. Called again after an error, or
        after somebody else has reset or stepped the environments, it begins new episodes.

        Raises:
            ContractError: If an invariant breaks, saying which.
            ValueError: If the environments return what cannot be read, naming it; if somebody else
                has reset or stepped them between two updates.
        """
        if not self._is_seeded:
            seed_generators(self.config.seed)
            self._is_seeded = True
        if self.steps == 0:
            self.collector.settle()
        if largest_of_processes(float(not self.collector.can_go_on)):
            self.collector.begin(self.config.seed + self.steps)
        before = self.steps
        began = time.perf_counter()
        while self.steps < self.total_steps:
            remaining = 1.0 - self.steps / self.total_steps
            self.collector.collect()
            self.steps += self._rollout_steps
            result = self.updater.update(self.buffer, remaining)
            seconds = time.perf_counter() - began
            yield self._report(result, fps=(self.steps - before) / seconds)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on, between two updates.

        Where several processes train, each has to call. Environments, hidden states and random
        numbers are each process's own: the first process gets those of all.
        """
        own = {"collector": self.collector.state_dict(), "random": random_state()}
        return {
            "config": asdict(self.config),
            "steps": self.steps,
            "policy": self.bundle.state_dict(),
            "updater": self.updater.state_dict(),
            "processes": gather_to_first(own),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned, to go on with `train()`; nothing changes on an error.

        Args:
            state: Of a trainer with the same settings, policy and environments, in as many
                processes. Only `total_steps` may differ: the rates go on as if it had been so from
                the beginning, so that those that had fallen to 0 rise again.

        Raises:
            ValueError: If it does not fit, naming what. Environments that do not tell their state
                are reset, if all else fits and their own reset fails.
        """
        parts = (self.bundle, self.updater, *self.collector.statistics.values())
        before = deepcopy([part.state_dict() for part in parts])
        generators = random_state()
        try:
            self._load(state)
        except Exception as error:
            for part, saved in zip(parts, before, strict=True):
                part.load_state_dict(saved)
            set_random_state(generators)
            if isinstance(error, ValueError):
                raise
            raise ValueError(
                "state: expected what state_dict() of such a trainer returned, got "
                f"{type(error).__name__}: {error}."
            ) from error

    def _load(self, state: Mapping[str, Any]) -> None:
        self._require_same_training(state)
        own = state["processes"][rank()]
        steps = self._require_steps(state["steps"])
        self.bundle.load_state_dict(state["policy"])
        self._load_updater(state["updater"])
        set_random_state(own["random"])
        saved = all("environments" in part["collector"]["stepper"] for part in state["processes"])
        seed = None if saved else self.config.seed + steps
        # The environments last: those in other processes cannot be put back.
        self.collector.load_state_dict(own["collector"], seed=seed)
        set_random_state(own["random"])  # again: environments may have drawn from it
        self.steps = steps
        self._is_seeded = True

    def _load_updater(self, state: Mapping[str, Any]) -> None:
        try:
            self.updater.load_state_dict(state)
        except ValueError as error:  # PyTorch's own names nothing
            raise ValueError(
                f'state["updater"]: expected what its state_dict() returned, got {error}.'
            ) from error

    def _require_same_training(self, state: Mapping[str, Any]) -> None:
        own = asdict(self.config) | {"processes": world_size()}
        del own["total_steps"]
        saved = asdict(PPOConfig()) | state["config"] | {"processes": len(state["processes"])}
        for name, value in own.items():
            if saved.get(name) != value:
                raise ValueError(
                    f"{name}: expected {saved.get(name)!r} as when it was saved, got {value!r}."
                )

    def _require_steps(self, steps: object) -> int:
        if type(steps) is not int or steps < 0:
            raise ValueError(f"steps: expected an int of at least 0, got {steps!r}.")
        if steps > self.total_steps:
            raise ValueError(
                f"total_steps: expected at least the {steps} steps that are trained already, got "
                f"{self.config.total_steps}."
            )
        return steps

    def _report(self, result: UpdateResult, fps: float) -> UpdateReport:
        policy, value, entropy, approx_kl, clip_fraction, _ = map(float, result.loss)
        episodes = self.collector.episodes
        return UpdateReport(
            steps=self.steps,
            episode_return=episodes.mean_return,
            episode_length=episodes.mean_length,
            policy_loss=policy,
            value_loss=value,
            entropy=entropy,
            approx_kl=approx_kl,
            clip_fraction=clip_fraction,
            explained_variance=explained_variance(*self.buffer.values_and_returns()),
            first_ratio_error=result.first_ratio_error,
            hidden_staleness=self._hidden_staleness(),
            gradient_norms=result.gradient_norms,
            learning_rate=result.learning_rate,
            clip_range=result.clip_range,
            fps=fps,
        )

    def _hidden_staleness(self) -> float:
        with self.config.precision(self.bundle.device):
            return hidden_staleness(
                self.bundle, self.buffer, self.collector.hidden, self.collector.starts
            )

    def _require_wrapped(self) -> None:
        """Refuse a plain network among several processes: their gradients would stay apart."""
        network = getattr(self.bundle, "network", None)
        if world_size() > 1 and isinstance(network, FactoredRecurrentActorCritic):
            raise ValueError(
                f"bundle: expected a wrapped network in a group of {world_size()} processes, got "
                "the plain one, whose gradients stay apart. Set bundle.network = "
                "DistributedDataParallel(bundle.network)."
            )

    def _require_whole_rollouts(self) -> None:
        if not self.total_steps:
            raise ValueError(
                f"total_steps: expected at least the {self._rollout_steps} steps of one rollout, "
                f"got {self.config.total_steps}."
            )
        rows = self.envs.num_envs * self.config.num_steps // self.config.sequence_length
        if rows % self.config.num_minibatches:
            raise ValueError(
                f"num_minibatches: expected a divisor of the {rows} rows, got "
                f"{self.config.num_minibatches}."
            )
