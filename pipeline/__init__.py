"""Loupe's offline pipeline: from a model, images and dictionaries to a bundle of tables."""
