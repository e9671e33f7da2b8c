"""Our module inside RLlib: the time of an update, and what settings let it learn."""
