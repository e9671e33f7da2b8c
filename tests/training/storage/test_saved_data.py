"""Files with any bytes or any content are refused by name."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tamiyo_rl.training import PPOConfig
from tamiyo_rl.training.runs.settings import FORMAT, RunSettings
from tamiyo_rl.training.storage.files import read_saved

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NUMBERS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


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
DEFAULT = asdict(RunSettings())
CHANGED = st.builds(
    lambda top, ppo: {**DEFAULT, **top, "ppo": DEFAULT["ppo"] | ppo},
    st.dictionaries(st.sampled_from(sorted(DEFAULT)), JSON, max_size=2),
    st.dictionaries(NAMES, JSON, max_size=2),
)


def as_json(settings: Any) -> Any:
    """Return settings as a file holds them, which has no tuples."""
    return json.loads(json.dumps(settings))


@QUICK
@given(settings=JSON | CHANGED)
def test_settings_of_a_run_are_right_or_named(settings: Any, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"format": FORMAT, "settings": settings}), "utf-8")
    try:
        read = asdict(RunSettings.read(config))
    except ValueError as error:
        assert str(error).startswith(f"{config}: expected the settings of a run")  # noqa: PT017 - either is right
    else:
        assert {k: type(v) for k, v in read.items()} == {k: type(v) for k, v in DEFAULT.items()}
        assert as_json(read) == as_json(settings)


@QUICK
@given(text=st.text() | JSON.map(str))
def test_any_config_is_right_or_named(text: str, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"config\.json: expected"):
        RunSettings.read(config)
