"""Results, part by part."""
