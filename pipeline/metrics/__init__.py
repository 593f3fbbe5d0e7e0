"""Scores as pure functions and mergeable sums: arrays in, arrays out, usable without the rest."""
