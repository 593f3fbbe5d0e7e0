"""How the tables came to be, step by step: alembic applies what a database lacks as it is opened.

A new step is a module in `versions/` (`v0002_votes.py`), written by hand, with `schema.py` brought
to the same state.
"""
