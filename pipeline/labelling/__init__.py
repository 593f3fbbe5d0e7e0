"""Words, classes and phrases for features: where they come from."""
