"""Checkpoints: a training goes on from one, bit for bit; what is no checkpoint changes nothing."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorActionWrapper, VectorEnv
from gymnasium.vector.utils import batch_space

from tamiyo_rl import LSTMPolicyBundle
from tamiyo_rl.training import (
    PPOConfig,
    RecurrentPPO,
    latest_checkpoint,
    load_checkpoint,
    make_envs,
    save_checkpoint,
)
from tamiyo_rl.training.runs.checkpoint import read_checkpoint

UPDATES = 6


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Train with one thread: such small networks take longer with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def make_trainer(envs: VectorEnv[Any, Any, Any], **config: Any) -> RecurrentPPO:
    torch.manual_seed(0)
    bundle = LSTMPolicyBundle.from_spaces(
        envs.single_observation_space,
        envs.single_action_space,
        hidden_dim=8,
        learn_initial_hidden=True,
    )
    settings: dict[str, Any] = {"num_steps": 16, "sequence_length": 8, "num_minibatches": 2}
    settings |= {"epochs": 2, "total_steps": UPDATES * 16 * envs.num_envs}
    return RecurrentPPO(envs, bundle, PPOConfig(**settings | config))


def train(trainer: RecurrentPPO, updates: int) -> list[Any]:
    return list(islice(trainer.train(), updates))


def exactly(reports: list[Any]) -> list[str]:
    """Write every digit of reports but their speed, so that a NaN equals a NaN."""
    return [repr(replace(report, fps=0.0)) for report in reports]


class PushedCartPole(VectorActionWrapper):
    """The default task, whose action is a number: its sign is the direction."""

    def __init__(self, num_envs: int) -> None:
        env = make_envs(num_envs=num_envs)
        super().__init__(env)
        self.single_action_space = Box(-np.inf, np.inf, (1,))
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.get_state = env.get_state  # type: ignore[attr-defined]  # the default task has it
        self.set_state = env.set_state  # type: ignore[attr-defined]  # as above

    def actions(self, actions: Any) -> Any:
        return (actions[:, 0] > 0).astype(np.int64)


@pytest.mark.parametrize("continuous", [False, True])
def test_the_rest_is_the_same_to_the_last_bit(tmp_path: Path, continuous: bool) -> None:
    make: Any = PushedCartPole if continuous else make_envs
    whole = make_trainer(make(num_envs=4))
    expected = train(whole, UPDATES)
    begun = make_trainer(make(num_envs=4))
    train(begun, 2)
    path = save_checkpoint(tmp_path, begun)
    torch.rand(7)  # what others draw in between does not count
    resumed = make_trainer(make(num_envs=4))
    load_checkpoint(path, resumed)
    assert exactly(train(resumed, UPDATES)) == exactly(expected[2:])
    parameters = zip(whole.bundle.parameters(), resumed.bundle.parameters(), strict=True)
    assert all(own.equal(other) for own, other in parameters)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_environments_that_do_not_tell_their_state_begin_new_episodes(
    vectorization: Any, tmp_path: Path
) -> None:
    envs = make_envs("CartPole-v1", 2, vectorization=vectorization)
    begun = make_trainer(envs)
    train(begun, 2)
    path = save_checkpoint(tmp_path, begun)
    stepper = read_checkpoint(path)["trainer"]["processes"][0]["collector"]["stepper"]
    assert "expected environments with get_state()" in stepper["not_saved"]
    resumed = make_trainer(envs)
    load_checkpoint(path, resumed)
    assert resumed.collector.starts.all()
    assert [report.steps for report in train(resumed, UPDATES)] == [96, 128, 160, 192]
    envs.close()


def test_the_newest_ones_are_kept(tmp_path: Path) -> None:
    trainer = make_trainer(make_envs(num_envs=4))
    assert latest_checkpoint(tmp_path) is None
    for _ in trainer.train():
        save_checkpoint(tmp_path, trainer, keep=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-000000000320.pt", "checkpoint-000000000384.pt"]
    assert latest_checkpoint(tmp_path) == tmp_path / names[-1]


def test_what_was_just_written_stays_and_is_the_newest(tmp_path: Path) -> None:
    longer = make_trainer(make_envs(num_envs=4))
    for _ in longer.train():
        save_checkpoint(tmp_path, longer, keep=2)
    shorter = _begun()
    for keep in (2, 1):
        path = save_checkpoint(tmp_path, shorter, keep=keep)
        assert path.exists()
        assert latest_checkpoint(tmp_path) == path
        assert len(list(tmp_path.iterdir())) == keep


@pytest.mark.parametrize("keep", [0, -1, "3", 2.5, True, None])
def test_a_number_to_keep_below_one_is_named(keep: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep: expected an int of at least 1, got"):
        save_checkpoint(tmp_path, _begun(), keep=keep)
    assert not list(tmp_path.iterdir())


def test_a_str_is_a_path(tmp_path: Path) -> None:
    path = save_checkpoint(str(tmp_path), _begun())
    assert latest_checkpoint(str(tmp_path)) == path
    load_checkpoint(str(path), make_trainer(make_envs(num_envs=4)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda trainer: load_checkpoint(None, trainer), "path: expected a checkpoint, got None"),  # type: ignore[arg-type]  # wrong on purpose
        (lambda trainer: load_checkpoint(7, trainer), "path: expected a path, got 7"),  # type: ignore[arg-type]  # as above
        (lambda trainer: save_checkpoint(7, trainer), "folder: expected a path, got 7"),  # type: ignore[arg-type]  # as above
        (lambda _: latest_checkpoint(None), "folder: expected a path, got None"),  # type: ignore[arg-type]  # as above
        (lambda _: load_checkpoint("a", "b"), "trainer: expected a RecurrentPPO, got str"),  # type: ignore[arg-type]  # as above
        (lambda _: save_checkpoint("a", "b"), "trainer: expected a RecurrentPPO, got str"),  # type: ignore[arg-type]  # as above
    ],
)
def test_a_wrong_argument_is_named(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(make_trainer(make_envs(num_envs=4)))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: make_trainer(make_envs(num_envs=4), gamma=0.5), "gamma: expected 0.98"),
        (lambda: make_trainer(make_envs("CartPole-v1", 4)), "envs: expected env=tamiyo-rl/Pos"),
        (
            lambda: make_trainer(make_envs("Acrobot-v1", 2)),  # its total_steps are others too
            "envs: expected env=tamiyo-rl/PositionOnlyCartPole-v1 .* got Acrobot-v1",
        ),
        (
            lambda: make_trainer(make_envs(num_envs=4, vectorization="sync")),
            r"envs: expected environments with get_state\(\) and set_state\(state\), got SyncVec",
        ),
        (lambda: make_trainer(make_envs(num_envs=2), total_steps=384), "envs: expected num_envs=4"),
    ],
    ids=["settings", "spaces", "tasks", "environments", "number"],
)
def test_a_checkpoint_of_another_training_changes_nothing(
    other: Any, message: str, tmp_path: Path
) -> None:
    begun = make_trainer(make_envs(num_envs=4))
    train(begun, 2)
    path = save_checkpoint(tmp_path, begun)
    trainer, untouched = other(), other()
    with pytest.raises(ValueError, match=f"(?s){path.name}: expected a checkpoint.*{message}"):
        load_checkpoint(path, trainer)
    assert trainer.steps == 0
    assert exactly(train(trainer, 2)) == exactly(train(untouched, 2))


class Dangerous:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize("kind", ["pickle", "zip", "policy"])
def test_another_file_is_refused_and_executes_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("checkpoint.pt")
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Dangerous()))
    else:
        torch.save(Dangerous() if kind == "zip" else {"kind": "policy", "format": 1}, path)
    reason = {
        "pickle": r"a damaged or foreign file\n  cause: BadZipFile",
        "zip": r"a damaged or foreign file\n  cause: it asks for getattr",
        "policy": r"another file \('policy'\)",
    }
    with pytest.raises(ValueError, match=rf"(?s)checkpoint\.pt: expected.*{reason[kind]}"):
        load_checkpoint(path, make_trainer(make_envs(num_envs=4)))
    assert not Path("executed").exists()


def test_every_flipped_bit_that_matters_is_noticed(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, _begun())
    whole, content = path.read_bytes(), read_checkpoint(path)
    generator = torch.Generator().manual_seed(0)
    noticed = 0
    for place in torch.randint(len(whole), (200,), generator=generator).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            read = read_checkpoint(path)
        except ValueError:
            noticed += 1
        else:
            assert same(read, content)
    assert noticed > 100


def test_an_entry_that_says_it_is_a_folder_is_noticed(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, _begun())
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 38] ^= 16  # PyTorch would leave the tensor uninitialised
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a damaged or foreign file\n  cause: .* attributes of"):
        read_checkpoint(path)


def same(one: Any, other: Any) -> bool:
    """Compare what a file holds, to the bit."""
    if isinstance(one, torch.Tensor):
        return bool(torch.isclose(one, other, atol=0, rtol=0, equal_nan=True).all())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


def _begun() -> RecurrentPPO:
    trainer = make_trainer(make_envs(num_envs=4))
    train(trainer, 1)
    return trainer


def test_environments_that_tell_their_state_go_on(tmp_path: Path) -> None:
    def make() -> RecurrentPPO:
        return make_trainer(Counters())

    expected = train(make(), UPDATES)
    begun = make()
    train(begun, 2)
    path = save_checkpoint(tmp_path, begun)
    train(begun, 1)  # what was saved is a copy
    resumed = make()
    load_checkpoint(path, resumed)
    assert exactly(train(resumed, UPDATES)) == exactly(expected[2:])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (np.zeros(2), r"envs\.get_state\(\): expected a number, a string, .* got ndarray"),
        ({"a": [1, {2}]}, r"envs\.get_state\(\)\['a'\]\[1\]: expected a number, .* got set"),
        (np.float64(1), r"envs\.get_state\(\): expected a number, .* got float64"),
    ],
)
def test_a_state_that_no_checkpoint_can_hold_is_named(
    state: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(Counters())
    train(trainer, 1)
    monkeypatch.setattr(Counters, "get_state", lambda _: state)
    with pytest.raises(TypeError, match=f"^{message}"):
        save_checkpoint(tmp_path, trainer)
    assert not list(tmp_path.iterdir())


class Counter(gymnasium.Env[Any, Any]):
    """Counts its steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,))
    action_space = gymnasium.spaces.Discrete(2)
    count = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        observation = np.full(1, self.count / 20, np.float32)
        return observation, float(action * self.count % 3), self.count > 20, False, {}


class Counters(SyncVectorEnv):
    """Two of them that tell how far they have counted, and refuse a negative count."""

    envs: Any

    def __init__(self) -> None:
        super().__init__([Counter] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
        self.counts = torch.zeros(2, dtype=torch.long)

    def get_state(self) -> Any:
        for row, env in enumerate(self.envs):
            self.counts[row] = env.count  # whoever asked before must have got a copy
        return {"counts": self.counts}

    def set_state(self, state: Any) -> None:
        for env, count in zip(self.envs, state["counts"].tolist(), strict=True):
            if count < 0:
                raise RuntimeError("it refuses")
            env.count = count
