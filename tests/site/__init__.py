"""The checks of the built site: what a reader sees there, clicks there, and copies from there."""
