"""Sparse autoencoders: the class that runs, and training with sae-lens."""
