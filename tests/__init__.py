"""Tests of tamiyo-rl."""
