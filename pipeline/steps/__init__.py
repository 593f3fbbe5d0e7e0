"""The steps of a run, one file each; no step imports another."""
