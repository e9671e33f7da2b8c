"""Environments: how they are made, stepped and saved."""
