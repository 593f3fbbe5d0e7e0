"""Sparse autoencoders: the class that runs, published ones, and training with sae-lens."""
