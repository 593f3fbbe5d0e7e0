"""The page Lists."""
