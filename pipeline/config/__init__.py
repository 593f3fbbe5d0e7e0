"""A run's configuration: a TOML file read into frozen models that refuse what they don't know.

Relative paths are meant from the working directory. Device, batch size and engine are settings of
the machine, not of the result: they stand under `[machine]` and never enter a step's key.
"""

from pipeline.config.base import NAME, ConfigError
from pipeline.config.dictionaries import (
    Dictionary,
    Neurons,
    PublishedSAE,
    TrainedSAE,
    Training,
)
from pipeline.config.examples import Captions, Examples, Folder, HuggingFace, Scenes, Source
from pipeline.config.models import FAMILIES, Encoder, Family, Machine, Model
from pipeline.config.projector import Conversations, Fit, FitProjector
from pipeline.config.reading import load, parse
from pipeline.config.run import RunConfig
from pipeline.config.steps import Endpoint, Labels, LocalModel, Relations, Scores, Steering

__all__ = [
    "NAME",
    "ConfigError",
    "Scenes",
    "Folder",
    "HuggingFace",
    "Source",
    "Examples",
    "Captions",
    "FAMILIES",
    "Family",
    "Model",
    "Encoder",
    "Machine",
    "Training",
    "Neurons",
    "TrainedSAE",
    "PublishedSAE",
    "Dictionary",
    "Scores",
    "Relations",
    "Endpoint",
    "LocalModel",
    "Labels",
    "Steering",
    "Conversations",
    "Fit",
    "FitProjector",
    "RunConfig",
    "parse",
    "load",
]
