"""Every page of the dashboard, stated once: what it is called, where it is, who may see it.

The navigation, the rule of access, the pictures in the docs and the tests read this list. A page is
the file `views/NAME/page.py`.
"""

from dataclasses import dataclass
from enum import Enum


class For(Enum):
    """Whom a page is for, where a study is kept here; else every page but Results opens to all."""

    READERS = "readers"
    """The study's owner, and everybody on an open server."""
    ANNOTATORS = "annotators"
    """Who was invited; it is reached by a link, not by the navigation."""
    OWNERS = "owners"
    """The owner of the study that the address names."""


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        title: in the navigation and the browser's tab.
        name: of its folder in `views/`.
        about: what one finds there, in a sentence.
    """

    title: str
    name: str
    about: str
    sees: For = For.READERS

    @property
    def address(self) -> str:
        """Its path below the server's; empty for the first page."""
        return "" if self is PAGES[0] else self.name

    @property
    def file(self) -> str:
        """Its script, as seen from the folder of `app.py`."""
        return f"views/{self.name}/page.py"


PAGES = (
    Page("Overview", "overview", "what the run holds, and how monosemantic its features are"),
    Page("Browse", "browse", "features as cards or rows: searched, filtered, sorted"),
    Page("Map", "map", "features in the plane, those that are alike near each other"),
    Page("Modalities", "modalities", "features between pictures and words, layer by layer"),
    Page("Compare", "compare", "dictionaries and chosen features side by side"),
    Page("Steering", "steering", "features turned up, and what the model says or sees then"),
    Page("Feature", "feature", "one feature: its images, numbers, words and neighbours"),
    Page("Image", "image", "one image, or two: the features that fire on it, and where"),
    Page("Lists", "lists", "stars, named lists and chosen features, to arrange and export"),
    Page("Annotate", "annotate", "the trials of a user study", For.ANNOTATORS),
    Page("Results", "results", "what a user study found", For.OWNERS),
)
ANNOTATE, RESULTS = PAGES[-2:]
