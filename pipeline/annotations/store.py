"""The store of what people say, whole."""

from pipeline.annotations.elsewhere import Elsewhere
from pipeline.annotations.exchange import Exchange
from pipeline.annotations.features import Features
from pipeline.annotations.lists import Lists


class Annotations(Exchange, Features, Lists, Elsewhere):
    """An open database of what people say, made or brought up to date as it is opened.

    Args:
        place: a path (SQLite) or a URL, `sqlite:///...` or `postgresql://...`; see
            `default_place`.

    Raises:
        AnnotationsError: it cannot be opened, or was made by a newer Loupe.
    """
