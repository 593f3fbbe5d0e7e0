"""What the pipeline publishes and the dashboard reads: the version of the contract, and the names
that its tables use.

The tables themselves are in `tables`. A new table, a new nullable column or one that becomes
nullable raises MINOR (older bundles still open); anything else raises MAJOR.
"""

MAJOR, MINOR = 1, 5
VERSION = f"{MAJOR}.{MINOR}"

MODALITIES = ("image", "text")
SPLITS = ("train", "val")
BASES = ("sae", "neurons")


def dictionary_id(model: str, hook: str, name: str) -> str:
    """`MODEL/HOOK/DICTIONARY`, the readable identity of a dictionary within a bundle."""
    return f"{model}/{hook}/{name}"
