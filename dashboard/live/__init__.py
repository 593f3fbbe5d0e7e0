"""The models behind a bundle, live, for one visitor at a time."""
