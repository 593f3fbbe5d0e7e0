"""What people say, kept: stars, notes, labels and lists of features, and the votes of user studies,
in a database of their own.

`Annotations(place)` opens it, by a path or URL: SQLite by default, PostgreSQL by URL. What is said
of features is keyed by a dictionary's fingerprint and the feature's id, never by the dictionary's
name: after retraining, what was said of the old features stays with them. The name at the time of
writing is kept beside the key, so that what no bundle holds any more can still be named.
"""

from pipeline.annotations.opening import DEFAULT, VARIABLE, default_place
from pipeline.annotations.records import (
    MOST_ITEMS,
    MOST_NAME,
    MOST_NOTE,
    AnnotationsError,
    FeatureKey,
    FeatureList,
    Imported,
    Item,
    Remark,
    Star,
    Unreachable,
)
from pipeline.annotations.store import Annotations
from pipeline.annotations.trials import Annotator, Choice, Standing, Trial, Vote

__all__ = [
    "DEFAULT", "MOST_ITEMS", "MOST_NAME", "MOST_NOTE", "VARIABLE", "Annotations",
    "AnnotationsError", "Annotator", "Choice", "FeatureKey", "FeatureList", "Imported", "Item",
    "Remark", "Standing", "Star", "Trial", "Unreachable", "Vote", "default_place",
]  # fmt: skip
