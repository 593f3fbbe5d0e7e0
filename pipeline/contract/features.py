"""Tables of dictionaries and of each feature alone."""

import pyarrow as pa

from pipeline.contract.table import (
    DENSE_ACTIVATIONS_KEPT,
    DICTIONARY_ID,
    ENCODER_NAME,
    EXAMPLE_ID,
    F32,
    F64,
    FEATURE_ID,
    HISTOGRAM_BINS,
    I16,
    I32,
    I64,
    IN_DICTIONARIES,
    IN_ENCODERS,
    IN_EXAMPLES,
    IN_FEATURES,
    MODALITY_NAME,
    TEXT,
    Table,
    field,
    list_of,
)

DICTIONARIES = Table(
    "dictionaries",
    "Sets of features at one hook point of one model: SAEs, and the raw neurons as the baseline.",
    pa.schema(
        [
            field("dictionary_id", TEXT, "`MODEL/HOOK/DICTIONARY`, readable"),
            field(
                "fingerprint",
                TEXT,
                "hash of weights, hook point and model: what people say is kept by it",
            ),
            field("model", TEXT, "the model's name in the run's config"),
            field("hook", TEXT, "hook point, as `vision.3.resid_post`"),
            field("name", TEXT, "the dictionary's name in the run's config"),
            field("tower", TEXT, "`vision` or `language`"),
            field(
                "layer", I16, "layer, from 0; null behind the last layer (projection)", null=True
            ),
            field("point", TEXT, "`resid_post`, `projection`, ..."),
            field("depth", I16, "position of the hook point within its model, for ordering"),
            field("basis", TEXT, "`sae` or `neurons`"),
            field("architecture", TEXT, "as trained: `batchtopk`, `matryoshka`, `identity`, ..."),
            field("d_in", I32, "width of the activations"),
            field("d_sae", I32, "number of features"),
            field(
                "group_sizes",
                list_of(I32),
                "features of each Matryoshka level, inner first; may be empty",
            ),
            field("source", TEXT, "where its weights come from"),
            field("tokens", TEXT, "the tokens it reads: `patches`, `cls`, `text` or `all`"),
            field("pooling", TEXT, "how positions become one activation an image: `max` or `mean`"),
            field(
                "grid_height",
                I16,
                "rows of patches; null where there is no grid",
                "patches",
                null=True,
            ),
            field("grid_width", I16, "columns of patches", "patches", null=True),
            field(
                "grid_fit",
                TEXT,
                "what the grid covers: `crop`, the square centre of the picture, or `whole`, all of "
                "it; null without a grid, and in bundles before 1.1",
                null=True,
            ),
            field(
                "l0",
                F32,
                "mean number of active features a token, on val, over the tokens it reads (by kind "
                "of token in `reconstruction`); null where there are none",
                "features",
                null=True,
            ),
            field(
                "fvu",
                F32,
                "fraction of variance unexplained, on val, over its tokens; null where they do not "
                "vary, as `fvu` of `reconstruction`",
                "0 is best",
                null=True,
            ),
            field("dead", I32, "features that no val image activates", "features"),
            field("tokens_seen", I64, "training tokens; 0 for neurons", "tokens"),
            field(
                "learnt_from",
                TEXT,
                "what a trained SAE learnt from, joined by ` + `: as `tokens`, and `captions`, which "
                "are captions without their image; null of others, and in bundles before 1.3",
                null=True,
            ),
            field("n_examples", I64, "val images that the figures rest on", "images"),
            field("default_encoder", TEXT, "the encoder behind `features.ms`"),
        ]
    ),
    key=("dictionary_id",),
    sort=("dictionary_id",),
    references=((("default_encoder",), "encoders"),),
)

FEATURES = Table(
    "features",
    "One row a feature: the wide table that lists sort and filter on.",
    pa.schema(
        [
            DICTIONARY_ID,
            FEATURE_ID,
            field("group", I16, "Matryoshka level, from 0; null without levels", null=True),
            field("n_active", I64, "val images that activate it: above 0, of neurons above their minimum", "images"),
            field("density", F32, "`n_active` over the val images", "0 to 1"),
            field("max", F32, "largest pooled activation", "activation"),
            field("mean", F32, "mean pooled activation over the images that activate it; 0 if dead", "activation"),
            field("ms", F32, "monosemanticity score by the default encoder; null below two images", "-1 to 1", null=True),
            field("ms_percentile", F32, "share of the dictionary's scored features with a lower or equal ms", "0 to 1", null=True),
            field("label", TEXT, "the tag that most marks out its top images; where no image has tags its first word of `labels`; null without either", null=True),
            field("label_score", F32, "above chance, 1 is best: of a tag by its share p of the top images, (p - base) / (1 - base); of a word by how well it tells, max(0, 2 tells - 1)", "0 to 1", null=True),
            field("modality_score", F32, "as in `modality`; null where no caption is read, of dead features, and before 1.3", "0 text, 1 image", null=True),
            field("pair_correlation", F32, "`correlation` of `modality`; null likewise", "-1 to 1", null=True),
            field("steering_score", F32, "`score` of `steering`; null of features that were not steered, and before 1.4", "-1 to 1", null=True),
            field("steers", pa.bool_(), "as in `steering`; null likewise", null=True),
        ]
    ),
    key=("dictionary_id", "feature_id"),
    sort=("dictionary_id", "feature_id"),
    references=(IN_DICTIONARIES,),
)  # fmt: skip

MONOSEMANTICITY = Table(
    "monosemanticity",
    "Monosemanticity score by each encoder, beside what sparsity alone would give.",
    pa.schema(
        [
            DICTIONARY_ID,
            ENCODER_NAME,
            FEATURE_ID,
            field("ms", F32, "score; null where fewer than two images activate the feature", "-1 to 1", null=True),
            field("n_active", I64, "val images above the feature's minimum", "images"),
            field("control_neuron", F32, "score of a seeded neuron kept at this feature's density", "-1 to 1", null=True),
            field("control_direction", F32, "score of a seeded random direction kept at this feature's density", "-1 to 1", null=True),
        ]
    ),
    key=("dictionary_id", "encoder", "feature_id"),
    sort=("dictionary_id", "encoder", "feature_id"),
    references=(IN_FEATURES, IN_ENCODERS),
)  # fmt: skip

TOP_EXAMPLES = Table(
    "top_examples",
    "The 16 examples that activate a feature most, with where in the image.",
    pa.schema(
        [
            DICTIONARY_ID,
            MODALITY_NAME,
            FEATURE_ID,
            field("rank", I16, "from 1"),
            EXAMPLE_ID,
            field("activation", F32, "pooled activation", "activation"),
            field("token", I32, "strongest position: patch in reading order; null without a grid", null=True),
            field("patches", list_of(pa.uint16()), "patches that are not 0, in reading order; empty without a grid"),
            field("patch_acts", list_of(F32), "their activations, aligned with `patches`", "activation"),
        ]
    ),
    key=("dictionary_id", "modality", "feature_id", "rank"),
    sort=("dictionary_id", "modality", "feature_id", "rank"),
    references=(IN_FEATURES, IN_EXAMPLES),
)  # fmt: skip

HISTOGRAMS = Table(
    "histograms",
    "Pooled activations of each live feature over the val images that activate it; of text, over the "
    "images with a caption that does.",
    pa.schema(
        [
            DICTIONARY_ID,
            MODALITY_NAME,
            FEATURE_ID,
            field(
                "edges",
                list_of(F32),
                f"{HISTOGRAM_BINS + 1} bin edges, evenly spaced",
                "activation",
            ),
            field(
                "counts",
                list_of(I64),
                "images in each bin (the last includes its right edge)",
                "images",
            ),
        ]
    ),
    key=("dictionary_id", "modality", "feature_id"),
    sort=("dictionary_id", "modality", "feature_id"),
    references=(IN_FEATURES,),
)

ACTIVATIONS = Table(
    "activations",
    "Every non-zero pooled activation of an SAE feature; of dense dictionaries "
    f"(neurons) the top {DENSE_ACTIVATIONS_KEPT:,} of each feature.",
    pa.schema(
        [
            DICTIONARY_ID,
            MODALITY_NAME,
            FEATURE_ID,
            EXAMPLE_ID,
            field("activation", F32, "pooled activation", "activation"),
        ]
    ),
    key=("dictionary_id", "modality", "feature_id", "example_id"),
    sort=("dictionary_id", "modality", "feature_id", "-activation", "example_id"),
    references=(IN_FEATURES, IN_EXAMPLES),
)

RECONSTRUCTION = Table(
    "reconstruction",
    "How well a dictionary reconstructs the activations, by kind of token, on val.",
    pa.schema(
        [
            DICTIONARY_ID,
            field("token_type", TEXT, "`patch` (in a language model its image token), `cls`, `text`, `caption` (the words of the caption behind an image), `special`, `image` (one vector an image), or `caption_alone` (the caption's words without an image; of a contrastive model its one vector)"),
            field("tokens", I64, "tokens measured", "tokens"),
            field("mse", F64, "mean over tokens of the squared error's sum over the width; null where the reconstruction is not finite", "activation squared", null=True),
            field("fvu", F64, "sum of squared errors over the sum of squares about the mean; null where all of them are one vector up to rounding, or the reconstruction is not finite", "0 is best", null=True),
            field("cosine", F64, "mean cosine of activation and reconstruction; null likewise", "-1 to 1", null=True),
            field("l0", F64, "mean number of active features a token", "features"),
        ]
    ),
    key=("dictionary_id", "token_type"),
    sort=("dictionary_id", "token_type"),
    references=(IN_DICTIONARIES,),
)  # fmt: skip

SAMPLE_EXAMPLES = Table(
    "sample_examples",
    "Examples of each SAE feature beyond its strongest: from quantiles of its activations, at random, and of "
    "its silence, so that one is not fooled by the top.",
    pa.schema(
        [
            DICTIONARY_ID,
            MODALITY_NAME,
            FEATURE_ID,
            field("kind", TEXT, "quantiles of the activations above 0 (`0-25 %` to `75-95 %`), `random` (any that activates it) or `silent` (any that does not)"),
            EXAMPLE_ID,
            field("activation", F32, "pooled activation; 0 of silent ones", "activation"),
        ]
    ),
    key=("dictionary_id", "modality", "feature_id", "kind", "example_id"),
    sort=("dictionary_id", "modality", "feature_id", "kind", "example_id"),
    references=(IN_FEATURES, IN_EXAMPLES),
)  # fmt: skip
