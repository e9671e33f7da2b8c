"""The engine that runs every example of the documentation as a test."""
