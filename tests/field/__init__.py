"""Trainings of other libraries under the tools: correct, and with mistakes of their users."""
