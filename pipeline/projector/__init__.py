"""Fitting a projector between a vision tower and a language model."""
