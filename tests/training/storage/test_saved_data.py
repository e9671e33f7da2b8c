"""Generated data goes into a file and comes back the same, or is refused; any bytes are refused."""

import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tamiyo_rl.cli.train import Train
from tamiyo_rl.training import PPOConfig
from tamiyo_rl.training.runs.folder import RunFolder
from tamiyo_rl.training.storage.files import read_saved, write_saved
from tamiyo_rl.training.storage.plain_data import NotPlainError, decode, encode

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NUMBERS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
ARRAYS = hnp.arrays(
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="=")
    | hnp.floating_dtypes(endianness="=", sizes=(16, 32, 64))
    | hnp.unicode_string_dtypes(endianness="=")
    | hnp.byte_string_dtypes(),
    hnp.array_shapes(min_dims=0, max_side=3),
)
KEYS = st.integers() | st.text() | st.tuples(st.integers(), st.text())
DATA = st.recursive(
    NUMBERS | ARRAYS,
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=8,
)


@QUICK
@given(value=DATA)
def test_data_comes_back_the_same(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "data.pt"
    write_saved(path, {"data": encode(value)}, kind="data", version=1)
    assert_same(decode(read_saved(path, kind="data", version=1)["data"]), value)


def assert_same(got: Any, value: Any) -> None:
    assert type(got) is type(value)
    if isinstance(value, np.ndarray):
        assert got.dtype == value.dtype
        np.testing.assert_array_equal(got, value)
    elif isinstance(value, list | tuple):
        assert len(got) == len(value)
        for one, other in zip(got, value, strict=True):
            assert_same(one, other)
    elif isinstance(value, dict):
        assert list(got) == list(value)
        assert_same(list(got.values()), list(value.values()))
    else:
        assert got == value


@pytest.mark.parametrize("name", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_generators_go_on(name: str) -> None:
    generator = np.random.Generator(getattr(np.random, name)(3))
    generator.random(3, dtype=np.float32)  # half of a drawn number is kept for later
    restored = decode(encode(generator))
    assert restored.random(5, dtype=np.float32).tolist() == (
        generator.random(5, dtype=np.float32).tolist()
    )


def test_older_generators_go_on() -> None:
    python = random.Random(3)  # noqa: S311 - no secret
    numpy = np.random.RandomState(3)
    numpy.normal()  # the second of a pair is kept for later
    saved = encode([python, numpy])
    drawn = python.random(), numpy.normal()
    python, numpy = decode(saved)
    assert (python.random(), numpy.normal()) == drawn


def test_memory_order_is_kept() -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert decode(encode(array)).flags.f_contiguous
    array[0, 0] = 9  # what was taken shares no memory
    assert decode(encode(np.zeros(2))).flags.writeable


@pytest.mark.parametrize(
    "value",
    [object(), print, {1: [iter(())]}, np.array([None])],
    ids=["object", "function", "iterator inside", "array of objects"],
)
def test_what_is_no_data_is_named(value: Any) -> None:
    with pytest.raises(NotPlainError, match="expected data, got"):
        encode(value)


@QUICK
@given(content=st.binary(max_size=300))
def test_any_bytes_are_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "any.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"any\.pt: expected a saved data, got"):
        read_saved(path, kind="data", version=1)


@QUICK
@given(content=st.recursive(NUMBERS, lambda inner: st.dictionaries(st.text(), inner)))
def test_any_content_of_another_kind_is_refused_by_name(content: Any, tmp_path: Path) -> None:
    path = tmp_path / "any.pt"
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"any\.pt: expected a saved data, got another file"):
        read_saved(path, kind="data", version=1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(sorted(PPOConfig.__dataclass_fields__))
# The settings of a run with some of them changed.
CHANGED = st.builds(
    lambda top, ppo: {**Train().settings(), **top, "ppo": asdict(PPOConfig()) | ppo},
    st.dictionaries(st.sampled_from(sorted(Train().settings())), JSON, max_size=2),
    st.dictionaries(NAMES, JSON, max_size=2),
)


@QUICK
@given(settings=JSON | CHANGED)
def test_settings_of_a_run_are_right_or_named(settings: Any) -> None:
    try:
        command = Train.from_settings(Path("config.json"), settings)
    except ValueError as error:
        assert str(error).startswith("config.json: expected the settings of a run")  # noqa: PT017 - either is right
    else:
        own = Train().settings()
        assert {k: type(v) for k, v in command.settings().items()} == {
            k: type(v) for k, v in own.items()
        }
        assert command.settings() == settings


@QUICK
@given(text=st.text() | JSON.map(str))
def test_any_config_is_right_or_named(text: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.config.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"config\.json: expected"):
        folder.read_config()
