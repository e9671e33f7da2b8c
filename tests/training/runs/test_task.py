"""Keyword arguments as people write them, and settings that keep them."""

import math
from pathlib import Path
from typing import Any

import pytest

from tamiyo_rl.training.runs.keyword_arguments import (
    read_keyword_arguments,
    write_keyword_arguments,
)
from tamiyo_rl.training.runs.settings import RunSettings
from tamiyo_rl.training.runs.task import make_task

VALUES = {
    "8": 8,
    "1e-3": 1e-3,
    "True": True,
    "true": True,
    "None": None,
    "null": None,
    "8x8": "8x8",
    "'8'": "8",
    "": "",
    "a=b": "a=b",
    "(1, 2)": [1, 2],
    '{"a": [1]}': {"a": [1]},
}


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_values_are_read_as_python_and_json_write_them(text: str, value: Any) -> None:
    read = read_keyword_arguments([f"name={text}", "other=1"])
    assert read == {"name": value, "other": 1}
    assert type(read["name"]) is type(value)
    assert read_keyword_arguments(write_keyword_arguments(read)) == read


@pytest.mark.parametrize("text", ["", "name", "=1", "a b=1", "1=1"])
def test_what_is_no_keyword_argument_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="expected NAME=VALUE, got "):
        read_keyword_arguments([text])


@pytest.mark.parametrize("value", [{"a": {1}}, {1: 2}, {"a": (1, 2)}, {"a": math.nan}, [], None])
def test_settings_refuse_what_their_file_cannot_keep(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^env_kwargs: expected a dict of numbers"):
        RunSettings(env_kwargs=value)


def test_a_file_keeps_them(tmp_path: Path) -> None:
    settings = RunSettings(
        env_kwargs={"a": [1, "x"], "b": None}, wrappers=("a:B", "c:D"), vectorization="async"
    )
    settings.write(tmp_path / "config.json")
    assert RunSettings.read(tmp_path / "config.json") == settings


def test_wrappers_wrap_in_their_order() -> None:
    wrappers = "gymnasium.wrappers:TimeAwareObservation", "gymnasium.wrappers:FlattenObservation"
    envs: Any = make_task(RunSettings(env="CartPole-v1", wrappers=wrappers), 1)
    names = [type(envs.envs[0]).__name__, type(envs.envs[0].env).__name__]
    assert names == ["FlattenObservation", "TimeAwareObservation"]
