"""Names of content, and hashes remembered between runs."""
