"""What the silent mistakes of a recurrent policy do to training, run for real."""
