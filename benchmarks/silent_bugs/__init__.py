"""What finds silent mistakes of training: thirty of them, each beside its mended twin."""
