"""Tables of how features stand to one another, and of names found for them."""

import pyarrow as pa

from pipeline.contract.table import (
    DICTIONARY_ID,
    F32,
    FEATURE_ID,
    I16,
    I32,
    IN_FEATURES,
    TEXT,
    Table,
    field,
)

NEIGHBORS = Table(
    "neighbors",
    "For each feature those of its own dictionary that are nearest to it, in three ways.",
    pa.schema(
        [
            DICTIONARY_ID,
            FEATURE_ID,
            field("kind", TEXT, "`decoder` (cosine of decoder directions), `jaccard` (val images that activate both over those that activate either) or `correlation` (of the activations over the val images); neurons have only the last"),
            field("rank", I16, "from 1"),
            field("neighbor", I32, "feature of the same dictionary"),
            field("score", F32, "by the kind", "-1 to 1"),
        ]
    ),
    key=("dictionary_id", "feature_id", "kind", "rank"),
    sort=("dictionary_id", "feature_id", "kind", "rank"),
    references=(IN_FEATURES,),
)  # fmt: skip

MATCHES = Table(
    "matches",
    "For each feature its best counterparts in every other dictionary, by correlation of the activations over the val images.",
    pa.schema(
        [
            DICTIONARY_ID,
            FEATURE_ID,
            field("other_id", TEXT, "the other dictionary, as in `dictionaries`"),
            field("rank", I16, "from 1"),
            field("match", I32, "feature of the other dictionary"),
            field("correlation", F32, "of the activations", "-1 to 1"),
            field("jaccard", F32, "overlap of the two features' top images", "0 to 1", null=True),
        ]
    ),
    key=("dictionary_id", "feature_id", "other_id", "rank"),
    sort=("dictionary_id", "feature_id", "other_id", "rank"),
    references=(IN_FEATURES,),
)  # fmt: skip

MAPS = Table(
    "maps",
    "Two coordinates a feature: those that are alike lie together.",
    pa.schema(
        [
            field("basis", TEXT, "`decoder` (each dictionary for itself, by its decoder directions) or `activations` (several on one plane, by the images that they fire on)"),
            DICTIONARY_ID,
            FEATURE_ID,
            field("x", F32, "only who is near whom has a meaning", "of the map"),
            field("y", F32, "as x", "of the map"),
        ]
    ),
    key=("basis", "dictionary_id", "feature_id"),
    sort=("basis", "dictionary_id", "feature_id"),
    references=(IN_FEATURES,),
)  # fmt: skip

ARTEFACTS = Table(
    "artefacts",
    "SAE features that look like something other than a concept, and why: hints to look, no verdicts.",
    pa.schema(
        [
            DICTIONARY_ID,
            FEATURE_ID,
            field("dead", pa.bool_(), "fires on no token of the val images"),
            field("dense", pa.bool_(), "fires on more than a tenth of the tokens"),
            field("on_cls", pa.bool_(), "fires mostly on CLS and register tokens"),
            field("on_high_norm", pa.bool_(), "fires on tokens that are on average at least twice as long as all"),
            field("duplicate", pa.bool_(), "a live feature has nearly the same decoder direction"),
            field("token_density", F32, "share of the tokens read on which it fires", "0 to 1"),
            field("cls_share", F32, "share of its firings that are on CLS or register tokens; null where only one kind is read, or it is dead", "0 to 1", null=True),
            field("norm_ratio", F32, "mean norm of the tokens on which it fires over that of all tokens read; null if dead", "times", null=True),
            field("twin", I32, "the feature with the nearest decoder direction, where it is a duplicate", null=True),
        ]
    ),
    key=("dictionary_id", "feature_id"),
    sort=("dictionary_id", "feature_id"),
    references=(IN_FEATURES,),
)  # fmt: skip

LABELS = Table(
    "labels",
    "What automatic labels say of a feature, and how well each tells the feature's images from others.",
    pa.schema(
        [
            DICTIONARY_ID,
            FEATURE_ID,
            field("kind", TEXT, "`class` (the class that most marks out its top images), `model` (what a vision-language model says of them) or `word` (the words of a vocabulary nearest to them, by a contrastive encoder)"),
            field("rank", I16, "from 1, the best"),
            field("label", TEXT, "a word or a short phrase"),
            field("value", F32, "of a class its share of the top images; of a word the cosine with what sets them apart; null of a model's", "-1 to 1", null=True),
            field("tells", F32, "AUROC of the label's similarity: how often an image from anywhere in the feature's range is nearer to the label than one that does not activate it; 0.5 is chance; null without a text encoder or with too few images", "0 to 1", null=True),
        ]
    ),
    key=("dictionary_id", "feature_id", "kind", "rank"),
    sort=("dictionary_id", "feature_id", "kind", "rank"),
    references=(IN_FEATURES,),
)  # fmt: skip
