"""The site in a real browser: what loads, what the copy buttons copy, what a reader can read."""
