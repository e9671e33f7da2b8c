"""Whole numbers on the command line, as people write them: `1000000` and `1e6`."""

from __future__ import annotations

from contextlib import suppress

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

WHOLE_NUMBERS = ConstructorRegistry()


@WHOLE_NUMBERS.primitive_rule
def whole_number_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int] | None:
    """Read every option that is an int."""
    if info.type is not int:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda given: whole_number(given[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    )


def whole_number(text: str) -> int:
    """Return the int that a text writes.

    Raises:
        ValueError: If it is not a whole number.
    """
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError, OverflowError):
        if int(number := float(text)) == number:
            return int(number)
    raise ValueError(f"expected a whole number, got {text}")
