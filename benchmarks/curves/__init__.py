"""Learning curves of the silent mistakes of a recurrent policy, beside correct training."""
