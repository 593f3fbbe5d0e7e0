"""The page Annotate."""
