"""The scripts that trained and examined the demo's models."""
