"""`LSTMPolicyModule` inside RLlib's PPO: spaces, states, first ratio, checkpoints, and refusals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tree
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner as TheirPPOTorchLearner
from ray.rllib.core.columns import Columns

from tamiyo_rl import InferenceTensorWarning
from tamiyo_rl.integrations.rllib import LSTMPolicyModule, PPOTorchLearner
from tamiyo_rl.integrations.rllib import module as ours
from tamiyo_rl.integrations.rllib.spaces import features_of
from tamiyo_rl.policy.spaces import SpaceAdapter
from tests.field.rllib_training import (
    MODEL,
    Everything,
    NumberAndChoice,
    make_config,
    one_machine,
    running,
)

pytestmark = [pytest.mark.field, pytest.mark.filterwarnings("ignore:::ray")]

UPDATES = 3
BOX = spaces.Box(-1, 1, (4,))
CHOICE = spaces.Discrete(2)


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[None]:
    with one_machine(num_cpus=1):
        yield


def make_module(observations: Any = BOX, actions: Any = CHOICE, **options: Any) -> LSTMPolicyModule:
    return LSTMPolicyModule(
        observation_space=observations, action_space=actions, model_config=MODEL | options
    )


def compared(learner_class: Any, seen: list[float]) -> Any:
    """Return a learner that keeps by how much the first ratio of each update misses 1."""

    class Compared(learner_class):
        def compute_loss_for_module(
            self, *, module_id: Any, batch: Any, fwd_out: Any, **rest: Any
        ) -> Any:
            kind = self.module[module_id].unwrapped().get_train_action_dist_cls()
            log_prob = kind.from_logits(fwd_out[Columns.ACTION_DIST_INPUTS]).logp(batch["actions"])
            ratio = (log_prob - batch[Columns.ACTION_LOGP]).exp()[batch[Columns.LOSS_MASK]]
            self.off.append(float((ratio - 1).abs().max()))
            return super().compute_loss_for_module(
                module_id=module_id, batch=batch, fwd_out=fwd_out, **rest
            )

        def update(self, *args: Any, **kwargs: Any) -> Any:
            self.off: list[float] = []
            results = super().update(*args, **kwargs)
            seen.append(self.off[0])
            return results

    return Compared


@pytest.mark.parametrize(
    ("env", "model", "learner_class"),
    [
        ("CartPole-v1", {}, PPOTorchLearner),
        ("CartPole-v1", {}, TheirPPOTorchLearner),
        (
            "CartPole-v1",
            {"cell": "gru", "critic": "separate", "num_lstm_layers": 2},
            PPOTorchLearner,
        ),
        (Everything, {}, PPOTorchLearner),
        (Everything, {}, TheirPPOTorchLearner),
        (NumberAndChoice, {"head_dims": (8,)}, PPOTorchLearner),
        ("Pendulum-v1", {}, PPOTorchLearner),
    ],
)
def test_the_first_ratio_of_each_update_is_1(env: Any, model: Any, learner_class: Any) -> None:
    seen: list[float] = []
    config = make_config(env, learner_class=compared(learner_class, seen), model=model)
    if env is Everything:  # MeanStdFilter of Ray 2.60 fails with a Dict of observations
        config.env_runners(env_to_module_connector=None)
    with running(config) as algorithm:
        before = algorithm.get_module().get_state()
        for _ in range(UPDATES):
            algorithm.train()
        assert algorithm.env_runner.sample(num_timesteps=4, explore=False, force_reset=True)
        after = algorithm.get_module().get_state()
    assert max(seen) < 1e-5, seen
    assert len(seen) == UPDATES
    assert all((after[name] != before[name]).any() for name in before)
    assert all(np.isfinite(value).all() for value in after.values())


def test_features_are_those_of_the_space_adapter() -> None:
    flags = spaces.Tuple(
        [spaces.MultiBinary((2, 2)), spaces.MultiDiscrete(np.array([[2, 3], [3, 2]]))]
    )
    seen = spaces.Dict(flags=flags, level=spaces.Discrete(3, start=-1), number=spaces.Box(0, 1, ()))
    batch: Any = create_empty_array(seen, 6)
    batch = concatenate(seen, [seen.sample() for _ in range(6)], batch)
    tensors = tree.map_structure(lambda array: torch.as_tensor(array)[:, None], batch)
    assert features_of(seen, tensors)[:, 0].equal(SpaceAdapter(seen, CHOICE).features(batch))


def test_a_checkpoint_gives_the_algorithm_back(tmp_path: Path) -> None:
    config = make_config()
    with running(config) as algorithm:
        algorithm.train()
        algorithm.save_to_path(tmp_path)
        saved = algorithm.get_module().get_state()
        filters = algorithm.env_runner._env_to_module.get_state()
        with running(config) as other:
            other.restore_from_path(tmp_path)
            restored = other.get_module().get_state()
            assert str(other.env_runner._env_to_module.get_state()) == str(filters)
            other.train()
    assert saved.keys() == restored.keys()
    assert all((saved[name] == restored[name]).all() for name in saved)


def test_a_state_of_other_sizes_changes_nothing() -> None:
    module = make_module()
    before = module.get_state()
    with pytest.raises(
        ValueError, match=r"state\['network.core.bias_hh_l0'\]: expected shape \[64"
    ):
        module.set_state(make_module(hidden_dim=8).get_state())
    with pytest.raises(ValueError, match=r"state\['network.core.bias_hh_l1'\]: expected nothing"):
        module.set_state(make_module(num_lstm_layers=2).get_state())
    assert all((before[name] == value).all() for name, value in module.get_state().items())


def test_a_state_of_another_kind_is_named() -> None:
    observations = torch.zeros(2, 3, 4)
    gru = make_module(cell="gru").get_initial_state()
    state = {part: torch.from_numpy(np.stack([value] * 2)) for part, value in gru.items()}
    for wrong in (state, None, state["h"], {"h": state["h"][:1], "c": state["h"][:1]}):
        with pytest.raises(ValueError, match=r"batch\['state_in'\]: expected .*get_initial_state"):
            make_module().forward_train({"obs": observations, "state_in": wrong})


def test_padding_without_its_mask_is_named() -> None:
    batch = {"obs": torch.zeros(2, 3, 4), "seq_lens": torch.tensor([3, 1])}
    with pytest.raises(ValueError, match=r"batch\['loss_mask'\]: expected the mask of the padding"):
        make_module().forward_train(batch)


def test_a_rollout_tensor_in_training_is_named() -> None:
    module = make_module()
    with torch.inference_mode():
        observations = torch.zeros(2, 3, 4)
    state = {part: torch.zeros(2, 1, 16) for part in ("h", "c")}
    with pytest.warns(InferenceTensorWarning, match="obs"):
        module.forward_train({"obs": observations, "state_in": state})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"learn_initial_hidden": True}, "'learn_initial_hidden'.*Ray 2.60.0.*gradient is lost"),
        ({"use_lstm": True}, r"model_config\['use_lstm'\]: expected only max_seq_len, hidden_dim"),
        ({"vf_share_layers": True}, "'vf_share_layers'.*Say critic='shared'"),
        ({"max_seq_len": 0}, r"model_config\['max_seq_len'\]: expected an int of at least 1"),
        ({"cell": "rnn"}, "cell: expected"),
    ],
)
def test_what_is_not_supported_is_named_before_training(options: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named), running(make_config(model=options)):
        pass


@pytest.mark.parametrize(
    ("observations", "actions", "named"),
    [
        (BOX, spaces.Discrete(2, start=1), r"action_space: expected .*, got Discrete\(2, start=1"),
        (BOX, spaces.MultiDiscrete(np.array([[2, 2]])), "action_space: expected"),
        (BOX, spaces.Box(-1, 1, (2, 2)), "action_space: expected"),
        (BOX, spaces.MultiBinary(2), "action_space: expected"),
        (spaces.Text(3), spaces.Discrete(2), "observation_space: expected"),
        (
            spaces.Dict({"action_mask": spaces.Box(-10, 10, (2,)), "position": BOX}),
            spaces.Discrete(2),
            r"observation_space\['action_mask'\]: expected MultiBinary\(2\)",
        ),
    ],
)
def test_a_space_that_is_not_supported_is_named(
    observations: Any, actions: Any, named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        make_module(observations, actions)


def test_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "TESTED", "2.1.")
    with pytest.raises(ImportError, match=r"ray: expected version 2\.1\.x, .*, got 2\.60"):
        make_module()
