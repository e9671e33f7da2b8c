"""Run crossings in this process: `python -m tamiyo_rl.crossings.worker cpu ID...`, a line each.

Some crossings can poison the process they run in, so `verify` runs each family in one of its own.
"""

from __future__ import annotations

import json
import sys

from tamiyo_rl.crossings import CATALOGUE, observe


def main(device: str, ids: list[str]) -> None:
    """Print what is seen of each crossing as soon as it is seen."""
    for name in ids:
        seen = observe(CATALOGUE[name], device).as_json()
        sys.stdout.write(json.dumps(seen) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
