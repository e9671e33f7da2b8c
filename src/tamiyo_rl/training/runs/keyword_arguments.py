"""Keyword arguments on the command line: `is_slippery=False map_name=8x8`."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, Any

from tyro.constructors import PrimitiveConstructorSpec


def read_keyword_arguments(texts: Sequence[str]) -> dict[str, Any]:
    """Return the values by name: numbers, texts, True, False, None, and lists and dicts of them.

    Args:
        texts: Each `NAME=VALUE`; a value that is no literal of Python or JSON is a text.

    Raises:
        ValueError: If one is not of that form, or its value is not one that JSON has.
    """
    return dict(_read(text) for text in texts)


def write_keyword_arguments(values: Mapping[str, Any]) -> list[str]:
    """Return what `read_keyword_arguments` reads as these values."""
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]


def _read(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"expected NAME=VALUE, got {text}")
    return name, _value_of(value)


def _value_of(text: str) -> Any:
    with suppress(ValueError):
        return json.loads(text)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    try:
        return json.loads(json.dumps(value))  # as the settings of a run keep it
    except TypeError as error:
        raise ValueError(f"expected a value that JSON has, got {text}") from error


KeywordArguments = Annotated[
    dict[str, Any],
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="[NAME=VALUE [NAME=VALUE ...]]",
        instance_from_str=read_keyword_arguments,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=write_keyword_arguments,
    ),
]
