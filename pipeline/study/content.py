"""What a study consists of once it is created: every item with every image, kept with its votes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.study.files import Study

X, Y = "x", "y"
"""The two sides of a pair, whichever is shown left."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Picture(_Frozen):
    """An image that is shown.

    Attributes:
        uri: what it is called.
        sha256: of its RGB pixels, so that another picture is never shown in its place; empty where
            only its name is known.
    """

    uri: str
    sha256: str = ""


class Feature(_Frozen):
    """A feature that is judged.

    Attributes:
        scores: columns of `features` that are numbers, and `ms_ENCODER` of each encoder, as they
            were when the study was created.
    """

    dictionary_id: str
    fingerprint: str
    feature_id: int
    scores: dict[str, float | None]


def name_of(feature: Feature) -> str:
    """`MODEL/HOOK/DICTIONARY:FEATURE`."""
    return f"{feature.dictionary_id}:{feature.feature_id}"


class Side(_Frozen):
    """Images that are shown together.

    Attributes:
        feature: place among the study's features; None: unrelated images, drawn at random.
        images: ids of examples, in no order that tells anything.
    """

    feature: int | None
    images: tuple[int, ...]


class Item(_Frozen):
    """What is judged in one trial.

    Attributes:
        item: its number.
        sides: of a pair x and y; else one. Beside texts it has one image, or none.
        answer: what is right, where that is known: a side, an intruder's id, a text's number, or a
            rating, which those next to it are as good as.
        texts: that are judged: one of `outputs`, several of `choice`, in the file's order, in which
            they are numbered from 1.
        groups: of each text what it is compared as; nobody who judges is told.
        prompt: what the model was asked that said them; may be empty.
        scale: that `outputs` are rated on.
        asked: in place of the study's question.
    """

    item: int
    role: Literal["practice", "trial", "catch"]
    sides: tuple[Side, ...]
    answer: str | None = None
    texts: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    prompt: str = ""
    scale: str = ""
    asked: str = ""


class Content(_Frozen):
    """A whole study.

    Attributes:
        run: name of the run that it was drawn from.
        images: by the ids of examples.
    """

    format: Literal["loupe-study/1"] = "loupe-study/1"
    study: Study
    run: str
    features: tuple[Feature, ...]
    items: tuple[Item, ...]
    images: dict[int, Picture] = Field(repr=False)

    @property
    def imported(self) -> bool:
        """Whether only the names of its images are known, as of the published benchmark."""
        return bool(self.images) and not any(one.sha256 for one in self.images.values())

    @property
    def wanted(self) -> dict[int, int]:
        """Item -> the votes that it is to get."""
        return {one.item: self.study.votes for one in self.items if one.role == "trial"}
