"""POPGym (Morad et al. 2023, arXiv:2303.01859), an independent benchmark for memory."""
