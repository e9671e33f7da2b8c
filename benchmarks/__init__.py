"""Speed beside peers, learning curves of mistakes, and POPGym: the records and their pages."""
