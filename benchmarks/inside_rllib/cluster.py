"""A quiet cluster of Ray in this process."""

from __future__ import annotations

import logging
import warnings

import ray


def begin() -> None:
    """Start Ray for this process only, without its output."""
    warnings.simplefilter("ignore")  # Ray warns of its own code
    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
