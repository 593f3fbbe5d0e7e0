"""A bundle on disk: its tables, its files with their hashes, its database; opening and verifying it."""
