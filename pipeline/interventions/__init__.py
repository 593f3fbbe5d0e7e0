"""Steering: edits of a model's activations, made of an SAE's features or of a direction.

    edits = [FeatureEdit(112, "clamp", 8.0)]
    with steering(adapter, inputs, {"vision.2.resid_post": [delta(sae, edits)]}, scope="image"):
        adapter.generate(inputs, max_new_tokens=20)

Edits compute in float32 on the device of their SAE or direction, which best is the model's, and are
cast back to what the model computes in. Where an edit asks for no change of a token, the token's
activations stay the same to the bit.
"""

from pipeline.interventions.answers import Answer, AnswerToken, Way, answers
from pipeline.interventions.base import InterventionError
from pipeline.interventions.directions import (
    Approximation,
    add_direction,
    approximate,
    difference_of_means,
    load_direction,
    move,
    nearest_features,
    project_out,
)
from pipeline.interventions.features import FeatureEdit, Mode, delta, replace
from pipeline.interventions.record import as_record
from pipeline.interventions.setting import Along, Setting, Turned, edits_of, ways_of
from pipeline.interventions.steering import steering

__all__ = [
    "Along",
    "Answer",
    "Approximation",
    "FeatureEdit",
    "InterventionError",
    "Mode",
    "AnswerToken",
    "Setting",
    "Turned",
    "Way",
    "add_direction",
    "answers",
    "approximate",
    "as_record",
    "delta",
    "difference_of_means",
    "edits_of",
    "load_direction",
    "move",
    "nearest_features",
    "project_out",
    "replace",
    "steering",
    "ways_of",
]
