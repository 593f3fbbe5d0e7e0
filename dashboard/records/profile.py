"""The record of one feature with all that the bundle says of it."""

from dataclasses import dataclass, field

from dashboard.records.captions import Modality, TopCaption
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Artefacts, AutoLabel, Feature, Key, Sample, Score
from dashboard.records.images import Example
from dashboard.records.matches import Related


@dataclass(frozen=True)
class Profile:
    """All that a bundle says of one feature, in one piece: what files of it are made from."""

    dictionary: Dictionary
    feature: Feature
    scores: list[Score]
    artefacts: Artefacts | None
    neighbors: list[Related]
    matches: list[Related]
    samples: list[Sample]
    place: tuple[float, float] | None
    """On the dictionary's map."""
    shorts: dict[str, str]
    """Dictionaries by id, as `Dictionary.short` names them."""
    examples: dict[int, Example]
    sha256: dict[int, str]
    pictures: dict[int, bytes]
    """WebP bytes of its top images."""
    names: list[AutoLabel] = field(default_factory=list)
    """Automatic labels; older bundles have none."""
    modality: Modality | None = None
    """How its two sides compare; None where no caption is read, and before contract 1.3."""
    captions: list[TopCaption] = field(default_factory=list)
    """Its top captions."""

    @property
    def key(self) -> Key:
        return self.feature.card.dictionary_id, self.feature.card.feature_id

    @property
    def name(self) -> str:
        """`vision.3 / matryoshka #29`."""
        return f"{self.dictionary.short} #{self.feature.card.feature_id}"

    @property
    def judged_by_itself(self) -> list[str]:
        """The encoders among its scores' that are the image tower of a model under study."""
        return [score.encoder for score in self.scores if score.judges_itself]
