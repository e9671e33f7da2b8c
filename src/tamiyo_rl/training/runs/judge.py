"""Evaluations in the course of a run, which say when its policy is the best so far."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from gymnasium.vector import VectorEnv

from tamiyo_rl.training.distributed import largest_of_processes
from tamiyo_rl.training.ppo.diagnostics import UpdateReport
from tamiyo_rl.training.ppo.seeding import random_state, set_random_state
from tamiyo_rl.training.ppo.trainer import RecurrentPPO
from tamiyo_rl.training.rollout.evaluation import (
    MAX_STEPS,
    EndlessEpisodeError,
    Episodes,
    play_episodes,
)

SEED = 2_000_000  # not that of `tamiyo-rl evaluate`, whose figure would look too good


class Judge:
    """Evaluates the policy of a training after every few updates, and after the last.

    The training goes on as if nothing had been evaluated. Where several processes train, each
    plays the same episodes.

    Args:
        trainer: The training.
        envs: Environments of the judge's own.
        every: Updates from one evaluation to the next.
        episodes: How many to play.
        best: Highest mean return of the evaluations so far.
        max_steps: How long an episode may take; an evaluation with a longer one counts as none.

    Attributes:
        best: The same, with those that came since.
    """

    def __init__(
        self,
        trainer: RecurrentPPO,
        envs: VectorEnv[Any, Any, Any],
        *,
        every: int,
        episodes: int,
        best: float,
        max_steps: int = MAX_STEPS,
    ) -> None:
        self._trainer = trainer
        self._envs = envs
        self._every = every
        self._episodes = episodes
        self._max_steps = max_steps
        self.best = largest_of_processes(best)

    def judge(self, report: UpdateReport) -> tuple[UpdateReport, bool]:
        """Evaluate, if this is due after an update, and tell whether it is the best so far.

        Args:
            report: Of the update.

        Returns:
            The report with the evaluation, and whether that is the best.
        """
        played = self._play() if self._is_due() else None
        if played is None:
            return replace(report, evaluation_return=math.nan, evaluation_length=math.nan), False
        mean = largest_of_processes(float(played.returns.mean()))
        is_best = mean > self.best
        self.best = max(mean, self.best)
        length = float(played.lengths.mean())
        return replace(report, evaluation_return=mean, evaluation_length=length), is_best

    def _is_due(self) -> bool:
        trainer = self._trainer
        updates = trainer.steps // trainer._rollout_steps
        return updates % self._every == 0 or trainer.steps == trainer.total_steps

    def _play(self) -> Episodes | None:
        """Play without a trace: an environment may draw from generators that others use too.

        A policy that does not end its episode is no reason to end a training of days.
        """
        generators = random_state()
        try:
            return play_episodes(
                self._trainer.bundle,
                self._envs,
                self._trainer.normalizer,
                episodes=self._episodes,
                max_steps=self._max_steps,
                deterministic=True,
                seed=SEED,
            )
        except EndlessEpisodeError:
            return None
        finally:
            set_random_state(generators)
