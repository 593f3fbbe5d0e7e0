"""A run: its plan, its folder, what is done and what is still to do."""
