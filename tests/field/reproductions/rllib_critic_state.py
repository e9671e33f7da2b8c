"""PPO of RLlib 2.60.0 makes the states of a separate recurrent critic with weights of their own.

With an LSTM and `vf_share_layers=False`, which a `model_config` that is a dict has unless it says
otherwise, the module that collects has an encoder of the critic, and training starts each piece of
an episode from its state. The weights that the learner sends leave the critic out, so that this
encoder keeps its random ones. With `vf_share_layers=True` there is one encoder, and its state
lives on.
"""

from importlib.metadata import version

import ray
from ray.rllib.algorithms.ppo import PPOConfig

assert version("ray") == "2.60.0"
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
config = (
    PPOConfig()
    .environment("CartPole-v1")
    .env_runners(num_env_runners=0)
    .learners(num_learners=0)
    .training(train_batch_size_per_learner=64, minibatch_size=64, num_epochs=1)
    .rl_module(model_config={"use_lstm": True, "max_seq_len": 8})
)
algorithm = config.build_algo()
algorithm.train()
collecting = algorithm.env_runner.module.state_dict()
learning = algorithm.learner_group._learner.module["default_policy"].state_dict()
algorithm.stop()

differences = {name: (collecting[name] - learning[name]).abs().max() for name in learning}
actor = [off for name, off in differences.items() if name.startswith("encoder.actor_encoder.")]
critic = [off for name, off in differences.items() if name.startswith("encoder.critic_encoder.")]
assert max(actor) == 0.0, actor
assert min(critic) > 0.01, critic
