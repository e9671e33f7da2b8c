"""The variants in a few words, in the order of the page."""

PEER = "sb3-contrib"
LABELS = {
    "base": "the base",
    "shared": "shared critic",
    "shared-detached": "shared critic, trained by the policy's loss only",
    "linear-heads": "no layer behind the LSTMs",
    "tanh": "tanh for ReLU",
    "small-policy": "policy's output times 0.01",
    "orthogonal": "orthogonal heads",
    "forget-gates": "forget gates with bias 1",
    "raw-observations": "observations not normalised",
    "raw-rewards": "rewards not scaled",
    "four-minibatches": "4 minibatches, 5 epochs",
    "rollout-advantages": "the same, advantages by rollout",
    "by-step": "rows of 1 step",
    "zero-states": "rows begin from zeros",
    "ten-epochs": "10 epochs",
    "adam-epsilon": "Adam's epsilon 1e-8",
    "gradient-norm": "norm of the gradient up to 5",
    "gamma": "gamma 0.99, lambda 0.95",
    "learning-rate": "learning rate 2e-3",
    "settled": "128 normalization steps",
    "peer-settings": "the same, initialised as the package does",
    "unsettled": "defaults, without normalization steps",
    "defaults": "defaults of tamiyo-rl train",
    PEER: "sb3-contrib",
}
