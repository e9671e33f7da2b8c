"""Train our module by RLlib with a separate or a shared critic, with scaled observations or not.

`OMP_NUM_THREADS=1 .venv-field/bin/python -m benchmarks.inside_rllib.learning`, after
`make field-test`.
"""

from __future__ import annotations

from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.connectors.env_to_module import MeanStdFilter
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.examples.envs.classes.stateless_cartpole import StatelessCartPole

from benchmarks.inside_rllib.cluster import begin
from tamiyo_rl.integrations.rllib import LSTMPolicyModule, PPOTorchLearner

STEPS = 40_000
SEEDS = 0, 1
VARIANTS = [(critic, scaled) for critic in ("separate", "shared") for scaled in (True, False)]


def main() -> None:
    """Print a row for each variant, with the last mean return of each seed."""
    begin()
    print("| `critic` | `MeanStdFilter` | seed 0 | seed 1 |\n|---|---|---|---|")  # noqa: T201 - the table is the result
    for critic, scaled in VARIANTS:
        returns = " | ".join(f"{train(critic, seed, scaled=scaled):.0f}" for seed in SEEDS)
        print(f'| `"{critic}"` | {"yes" if scaled else "no"} | {returns} |', flush=True)  # noqa: T201 - as above


def train(critic: str, seed: int, *, scaled: bool) -> float:
    """Train for so many steps, and return the mean return of the last hundred episodes."""
    algorithm = make(critic, seed, scaled=scaled)
    runners: dict[str, Any] = {"num_env_steps_sampled_lifetime": 0}
    while runners["num_env_steps_sampled_lifetime"] < STEPS:
        runners = algorithm.train()["env_runners"]
    algorithm.stop()
    return float(runners["episode_return_mean"])


def make(critic: str, seed: int, *, scaled: bool) -> Any:
    """Make an algorithm."""
    model = {"hidden_dim": 64, "critic": critic, "max_seq_len": 32}
    spec = RLModuleSpec(module_class=LSTMPolicyModule, model_config=model)
    config = (
        PPOConfig()
        .environment(StatelessCartPole)
        .debugging(seed=seed)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=8)
        .rl_module(rl_module_spec=spec)
        .learners(learner_class=PPOTorchLearner)
        .training(
            train_batch_size_per_learner=2048,
            minibatch_size=128,
            num_epochs=6,
            lr=1e-3,
            vf_clip_param=1e5,
        )
    )
    if scaled:
        config.env_runners(env_to_module_connector=lambda *_, **__: MeanStdFilter())
    return config.build_algo()


if __name__ == "__main__":
    main()
