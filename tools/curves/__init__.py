"""The learning curve of the tutorial, drawn from a recorded run."""
