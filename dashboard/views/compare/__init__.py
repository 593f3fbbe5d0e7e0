"""Compare, part by part."""
