"""Continuous actions: `Pendulum-v1` without its velocity, beside sb3-contrib."""
