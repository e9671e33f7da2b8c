"""Proximal policy optimisation on collected rollouts."""
