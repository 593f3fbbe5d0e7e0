"""The page Feature."""
