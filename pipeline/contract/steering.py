"""The table of features that were turned up while the model was asked."""

import pyarrow as pa

from pipeline.contract.table import (
    DICTIONARY_ID,
    ENCODER_NAME,
    F32,
    FEATURE_ID,
    I32,
    IN_ENCODERS,
    IN_FEATURES,
    TEXT,
    Table,
    field,
)

COSINE = "-1 to 1"

STEERING = Table(
    "steering",
    "The steering score (Pach et al. 2025) of the SAE features that were turned up, one at a time, while a model was "
    "asked about val images: how nearly its answers mean what the feature's top images show. Empty where the config "
    "has no `[steering]`.",
    pa.schema(
        [
            DICTIONARY_ID,
            FEATURE_ID,
            ENCODER_NAME,
            field("images", I32, "val images that were asked about", "images"),
            field("mode", TEXT, "`clamp`, `add` or `scale`"),
            field("strength", F32, "what it was clamped to or what was added; of scale a factor", "activation"),
            field("scope", TEXT, "the tokens that were edited: `image`, `prompt`, `generated` or `all`"),
            field("form", TEXT, "`delta`, or `replace`, where the SAE's reconstruction stood in the activations' place"),
            field("score", F32, "mean cosine of the answers' embeddings to the mean embedding of its 16 top images", COSINE),
            field("score_unsteered", F32, "the same of the answers without an edit", COSINE),
            field("score_shuffled", F32, "the same of the answers while another of the steered features was turned up; null where there is no other", COSINE, null=True),
            field("gain", F32, "`score` less `score_unsteered`", "cosine"),
            field("gain_low", F32, "lower end of its 95 % interval, by bootstrap over images", "cosine"),
            field("gain_high", F32, "upper end", "cosine"),
            field("over_shuffled", F32, "`score` less `score_shuffled`; null likewise", "cosine", null=True),
            field("over_shuffled_low", F32, "lower end of its 95 % interval", "cosine", null=True),
            field("over_shuffled_high", F32, "upper end", "cosine", null=True),
            field("changed", F32, "share of the images of which the edit changed the answer; 0 of all features where edits do not reach what is said", "0 to 1"),
            field("answer", TEXT, "the commonest answer while it is turned up"),
            field("answer_unsteered", TEXT, "the commonest without an edit"),
            field("steers", pa.bool_(), "whether both intervals lie above 0; null where there is no other feature", null=True),
        ]
    ),
    key=("dictionary_id", "feature_id"),
    sort=("dictionary_id", "feature_id"),
    references=(IN_FEATURES, IN_ENCODERS),
)  # fmt: skip
