"""Lists and paths in messages, at a bounded length."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST = 120  # more characters of a path tell a reader nothing


def listed(names: Sequence[str], most: int) -> str:
    """Join the first names, and count the other names.

    Examples:
        ```python
        from tamiyo_rl.contract.wording import listed

        print(listed(["weight", "bias"], most=3))
        print(listed([f"steps[{i}]" for i in range(10_000)], most=2))
        ```

        ```text
        weight, bias
        steps[0], steps[1] and 9,998 more
        ```
    """
    return ", ".join(map(shortened, names[:most])) + and_more(len(names) - most)


def and_more(count: int) -> str:
    """Return ` and 5 more` for 5, and an empty string for 0 or less."""
    return f" and {count:,} more" if count > 0 else ""


def shortened(path: str) -> str:
    """Cut the middle out of a path that is too long to read.

    Examples:
        ```python
        from tamiyo_rl.contract.wording import shortened

        print(shortened("batch" + "[0]" * 5000))
        ```

        ```text
        batch[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]...[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]
        ```
    """
    half = _LONGEST // 2
    return path if len(path) <= _LONGEST else f"{path[: half - 1]}...{path[-half + 3 :]}"
