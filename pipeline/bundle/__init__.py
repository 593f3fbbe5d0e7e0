"""A bundle on disk: tables, database, files with their hashes; opening and verifying it."""
