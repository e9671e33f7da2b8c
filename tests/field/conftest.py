"""Leaves the tests of other libraries out where only this package is installed."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("sb3_contrib") else ["test_*.py"]
