"""Time RLlib's update of PPO with its own LSTM, and with ours padded and joined.

`OMP_NUM_THREADS=1 .venv-field/bin/python -m benchmarks.inside_rllib.update`, after
`make field-test`.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner as TheirPPOTorchLearner
from ray.rllib.connectors.env_to_module import MeanStdFilter
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from benchmarks.inside_rllib.cluster import begin
from tamiyo_rl.integrations.rllib import LSTMPolicyModule, PPOTorchLearner

HIDDEN, UPDATES = 128, 8
LENGTHS = 20, 64, 128
VARIANTS = {
    "RLlib's LSTM": (None, TheirPPOTorchLearner),
    "`LSTMPolicyModule`, padded": (LSTMPolicyModule, TheirPPOTorchLearner),
    "`LSTMPolicyModule`, joined": (LSTMPolicyModule, PPOTorchLearner),
}


def main() -> None:
    """Print a row for each length of rows and variant."""
    begin()
    print("| `max_seq_len` | | padding | one update, ms |\n|---|---|---|---|")  # noqa: T201 - the table is the result
    for length in LENGTHS:
        seen: dict[str, Any] = {name: ([], []) for name in VARIANTS}
        algorithms = [make(length, *kinds, *seen[name]) for name, kinds in VARIANTS.items()]
        for _ in range(UPDATES):  # by turns, so that all see the same load of the machine
            for algorithm in algorithms:
                algorithm.train()
        for name, (times, padding) in seen.items():
            median = 1000 * statistics.median(times)
            print(f"| {length} | {name} | {statistics.mean(padding):.0%} | {median:.0f} |")  # noqa: T201 - as above


def make(length: int, module: Any, learner: Any, times: list[float], padding: list[float]) -> Any:
    """Make an algorithm that keeps the time of each update, and the share of padding."""

    class Timed(learner):
        def update(self, *args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            results = super().update(*args, **kwargs)
            times.append(time.perf_counter() - begin)
            return results

        def _update(self, batch: Any, **kwargs: Any) -> Any:
            padding.append(1 - float(batch["default_policy"]["loss_mask"].float().mean()))
            return super()._update(batch, **kwargs)

    config = (
        PPOConfig()
        .environment("CartPole-v1")
        .debugging(seed=0)
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=8,
            env_to_module_connector=lambda *_, **__: MeanStdFilter(),
        )
        .learners(learner_class=Timed)
        .training(train_batch_size_per_learner=2048, minibatch_size=512, num_epochs=4)
    )
    if module is None:
        theirs = DefaultModelConfig(
            use_lstm=True, lstm_cell_size=HIDDEN, fcnet_hiddens=[HIDDEN], max_seq_len=length
        )
        return config.rl_module(model_config=theirs).build_algo()
    ours = {"hidden_dim": HIDDEN, "max_seq_len": length}
    spec = RLModuleSpec(module_class=module, model_config=ours)
    return config.rl_module(rl_module_spec=spec).build_algo()


if __name__ == "__main__":
    main()
