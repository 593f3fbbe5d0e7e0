"""The columns of features, each stated once: what it is called and means, and where it is shown.

Lists, their order and filters, the head of a feature, files and the report follow from here: a
score that the pipeline adds to the table `features` is shown once it has its record in COLUMNS.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

FIRST = "1.0"
"""The version of the contract whose columns every bundle has."""
Form = Literal["link", "text", "meter", "balance", "number", "percent", "images", "level", "steers"]
"""How a value is shown: as a link to its feature, as text, on a bar with its number, from words to
pictures, with two decimals, as per cent, as a count of images, as a level from 1, or with a mark
that says whether it steers."""
Needs = Literal["", "captions", "steering"]
"""What a dictionary must have gone through for its features to have a value."""


@dataclass(frozen=True)
class Column:
    """One column of the table `features`."""

    name: str
    title: str
    about: str
    form: Form = "number"
    head: str = ""
    """A shorter title for the head of a table and of a feature; the title unless it is given."""
    cell: str = ""
    """What rows of a table call it; its name unless it is given."""
    since: str = FIRST
    """The version of the contract that brought it: older bundles lack it."""
    needs: Needs = ""
    range: tuple[float, float] | None = None
    """The ends of its slider among the filters; None for no filter of this kind."""
    sortable: bool = True
    in_table: bool = True
    """Whether Browse's table shows it."""
    in_head: bool = False
    """Whether the head of a feature shows it."""
    in_report: bool = False
    """Whether the report shows it among a feature's facts."""
    exported: bool = True
    """Whether CSV, Parquet and JSON hold it."""

    @property
    def short(self) -> str:
        return self.head or self.title

    @property
    def key(self) -> str:
        return self.cell or self.name


STEERING_SCORE = (
    "How nearly what the model says of images, with this feature turned up, means what the "
    "feature's top images show: mean cosine in a contrastive encoder's space (Pach et al. 2025)."
)
STEERS = (
    "A feature steers (✓) if its steering score is above that of the unsteered answers, and above "
    "that of answers while another feature is turned up, each by its 95 % interval over images."
)
_LABEL = (
    "The tag that most marks out the top images, and how far its share among them is above chance "
    "(1: all of them carry it; 0: no more than any images). In a run without tags, the best word "
    "found for it, and how well it tells the feature's images apart (1: always; 0: by chance)."
)

COLUMNS: tuple[Column, ...] = (
    Column(
        "dictionary_id", "dictionary", "A set of features at one hook point.", "text",
        sortable=False, in_table=False,
    ),
    Column(
        "feature_id", "feature id",
        "A feature is one direction in the model's activations: a number that is high for some "
        "images and zero or low for the rest.",
        "link", head="feature", cell="id",
    ),
    Column(
        "group", "level", "Matryoshka level, from 1, the innermost.", "level",
        in_table=False, in_head=True, in_report=True,
    ),
    Column(
        "n_active", "active on", "How many val images activate the feature.", "images",
        cell="active", in_head=True, in_report=True,
    ),
    Column(
        "density", "density", "The share of the val images that activate the feature.", "percent",
        range=(0.0, 1.0), in_head=True, in_report=True,
    ),
    Column(
        "max", "max activation", "The largest activation over the val images.",
        head="max", in_head=True, in_report=True,
    ),
    Column(
        "mean", "mean activation", "Mean activation over the images that activate the feature.",
        head="mean", in_head=True, in_report=True,
    ),
    Column(
        "ms", "MS",
        "Monosemanticity score: how alike the images are that activate the feature, by the "
        "judgement of an independent image encoder. 1 means all alike; unrelated images give a "
        "low score.",
        "meter", range=(0.0, 1.0),
    ),
    Column(
        "ms_percentile", "percentile",
        "The share of this dictionary's scored features with a lower or equal MS.", "percent",
        sortable=False, in_table=False,
    ),
    Column("label", "label", _LABEL, "text"),
    Column("label_score", "label score", _LABEL, cell="score"),
    Column(
        "modality_score", "modality score",
        "Mean activation on image tokens, over that plus the mean on caption tokens: 1 fires on "
        "pictures alone, 0 on words alone, 0.5 on both alike.",
        "balance", head="modality", cell="sides", since="1.3", needs="captions",
        range=(0.0, 1.0),
    ),
    Column(
        "pair_correlation", "pair correlation",
        "How far a feature's activation on an image goes with its activation on that image's "
        "captions, over all images with captions: 1 goes up and down together, 0 is no relation. "
        "Shuffled: the same with the captions of other images, what chance alone gives.",
        head="pairs", cell="pairs", since="1.3", needs="captions", range=(-1.0, 1.0),
    ),
    Column(
        "steering_score", "steering score", f"{STEERING_SCORE} {STEERS}", "steers",
        head="steering", cell="steering", since="1.4", needs="steering", in_report=True,
    ),
    Column(
        "steers", "steers", STEERS, "text", since="1.4", needs="steering", sortable=False,
        in_table=False,
    ),
)  # fmt: skip
"""All of them, in the order of the table `features`, and so of files."""

# What comes first in a list of them; the others follow in their own order.
_SORTS = ("ms", "density", "n_active", "max", "mean", "label", "label_score", "group", "feature_id")
_TABLE = (
    "feature_id", "label", "ms", "modality_score", "pair_correlation", "steering_score", "density",
    "n_active",
)  # fmt: skip
_HEAD = ("density", "n_active", "mean", "max", "group")


def named(name: str) -> Column:
    """The column of this name."""
    return next(column for column in COLUMNS if column.name == name)


def about(name: str) -> str:
    """What the column of this name means."""
    return named(name).about


def sortable() -> list[Column]:
    """Those that a list may be sorted by, as they are offered."""
    return _ordered((c for c in COLUMNS if c.sortable), _SORTS)


def filterable() -> list[Column]:
    """Those that a list may be filtered by with a range."""
    return [column for column in COLUMNS if column.range is not None]


def tabled() -> list[Column]:
    """Those of Browse's table, from left to right."""
    return _ordered((c for c in COLUMNS if c.in_table), _TABLE)


def heading() -> list[Column]:
    """Those in the head of a feature."""
    return _ordered((c for c in COLUMNS if c.in_head), _HEAD)


def reported() -> list[Column]:
    """Those among the facts of a report."""
    return _ordered((c for c in COLUMNS if c.in_report), _HEAD)


def _ordered(some: Iterable[Column], first: tuple[str, ...]) -> list[Column]:
    rank = {name: place for place, name in enumerate(first)}
    return sorted(some, key=lambda column: rank.get(column.name, len(rank)))
