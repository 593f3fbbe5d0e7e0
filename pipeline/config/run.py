"""A whole run."""

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.config.base import NAME, Frozen
from pipeline.config.dictionaries import Dictionary, Neurons
from pipeline.config.examples import Captions, Examples
from pipeline.config.models import Encoder, Machine, Model
from pipeline.config.steps import Labels, Relations, Scores, Steering


class RunConfig(Frozen):
    """One run: examples, models, encoders and dictionaries, by name."""

    name: str = Field(pattern=NAME)
    title: str = ""
    examples: Examples
    models: dict[Annotated[str, Field(pattern=NAME)], Model] = Field(min_length=1)
    encoders: dict[Annotated[str, Field(pattern=NAME)], Encoder] = Field(min_length=1)
    dictionaries: dict[Annotated[str, Field(pattern=NAME)], Dictionary] = Field(min_length=1)
    scores: Scores = Scores()
    relations: Relations = Relations()
    captions: Captions = Captions()
    labels: Labels = Labels()
    steering: Steering | None = None
    """Nothing is steered when not given."""
    machine: Machine = Machine()

    @model_validator(mode="after")
    def _names_exist(self) -> "RunConfig":
        if not self.judges:
            raise ValueError("encoders: none judges; name one that does, or drop judges = false")
        default, worded = self.scores.default_encoder, self.labels.encoder
        if default is not None and default not in self.judges:
            raise ValueError(
                f"scores.default_encoder = {default!r}: name one that judges: {list(self.judges)}"
            )
        if worded is not None and worded not in self.encoders:
            raise ValueError(f"labels.encoder = {worded!r}: name one of {list(self.encoders)}")
        for name, studied in self.models.items():
            if studied.family == "clip-gemma" and studied.projector is None:
                raise ValueError(
                    f"models.{name}.projector: name the file of a trained projector; "
                    "fit-projector writes one"
                )
        for name in self.relations.plane:
            if name not in self.dictionaries:
                raise ValueError(
                    f"relations.plane has {name!r}: name some of {list(self.dictionaries)}"
                )
        for name, dictionary in self.dictionaries.items():
            for model in dictionary.models or ():
                if model not in self.models:
                    raise ValueError(
                        f"dictionaries.{name}.models has {model!r}: name one of {list(self.models)}"
                    )
        return self

    @model_validator(mode="after")
    def _steered_names_exist(self) -> "RunConfig":
        if self.steering is None:
            return self
        saes = [name for name, d in self.dictionaries.items() if not isinstance(d, Neurons)]
        for name in self.steering.dictionaries or ():
            if name not in saes:
                raise ValueError(f"steering.dictionaries has {name!r}: name some SAEs of {saes}")
        hooks = list(dict.fromkeys(hook for m in self.models.values() for hook in m.hooks))
        for name in self.steering.hooks or ():
            if name not in hooks:
                raise ValueError(f"steering.hooks has {name!r}: name some of {hooks}")
        encoder = self.steering.encoder
        if encoder is not None and encoder not in self.encoders:
            raise ValueError(f"steering.encoder = {encoder!r}: name one of {list(self.encoders)}")
        return self

    @property
    def default_encoder(self) -> str:
        """The encoder behind `features.ms`."""
        return self.scores.default_encoder or self.judges[0]

    @property
    def judges(self) -> tuple[str, ...]:
        """The encoders by which MS is computed."""
        return tuple(name for name, encoder in self.encoders.items() if encoder.judges)
