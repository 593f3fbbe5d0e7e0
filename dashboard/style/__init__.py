"""Colours, numbers as text and explanations: the same on pages and in the files that leave them."""
