"""An LSTM with exact episode resets in the fused kernel, usable without the rest."""
