"""Every published table, stated once: schema, key, sort order, and each column's meaning and unit.

The store casts what it writes to these schemas, `verify` checks a bundle against them, and the
data dictionary in docs/ is generated from them (`python -m pipeline docs`). A new table or a
nullable column raises MINOR (older bundles still open); anything else raises MAJOR.
"""

from dataclasses import dataclass

import pyarrow as pa

MAJOR, MINOR = 1, 3
VERSION = f"{MAJOR}.{MINOR}"

TOP_K = 16
HISTOGRAM_BINS = 32
DENSE_ACTIVATIONS_KEPT = 1024
MODALITIES = ("image", "text")
SPLITS = ("train", "val")
BASES = ("sae", "neurons")


@dataclass(frozen=True)
class Table:
    """One published table: `key` is unique; rows are stored in the order of `sort`."""

    name: str
    doc: str
    schema: pa.Schema
    key: tuple[str, ...]
    sort: tuple[str, ...]
    references: tuple[tuple[tuple[str, ...], str], ...] = ()

    @property
    def file(self) -> str:
        return f"{self.name}.parquet"


def _field(name: str, kind: pa.DataType, doc: str, unit: str = "", null: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=null, metadata={"doc": doc, "unit": unit})


def _list(of: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", of, nullable=False))


TEXT, F32, F64, I16, I32, I64 = (
    pa.string(),
    pa.float32(),
    pa.float64(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
)

_DICTIONARY = _field("dictionary_id", TEXT, "`MODEL/HOOK/DICTIONARY`, as in `dictionaries`")
_FEATURE = _field("feature_id", I32, "row of the dictionary's `W_dec`, from 0")
_EXAMPLE = _field("example_id", I64, "as in `examples`")
_MODALITY = _field("modality", TEXT, "`image` or `text`")
_ENCODER = _field("encoder", TEXT, "as in `encoders`")

_OF_DICTIONARY = (("dictionary_id",), "dictionaries")
_OF_FEATURE = (("dictionary_id", "feature_id"), "features")
_OF_EXAMPLE = (("example_id",), "examples")
_OF_ENCODER = (("encoder",), "encoders")

EXAMPLES = Table(
    "examples",
    "The images, with what is known of each.",
    pa.schema(
        [
            _field("example_id", I64, "53 bits of a hash of the uri: stable, exact in JavaScript"),
            _field(
                "uri", TEXT, "path within its folder, row of its data set, or number of its scene"
            ),
            _field("captions", _list(TEXT), "captions, in the source's order; may be empty"),
            _field("label", TEXT, "class", null=True),
            _field("taxonomy", _list(TEXT), "the class's path, from the coarsest on; may be empty"),
            _field("tags", _list(TEXT), "every attribute known of the image, sorted; may be empty"),
            _field(
                "split",
                TEXT,
                "`train` (SAEs learn from it) or `val` (everything is measured on it)",
            ),
            _field("width", I32, "after EXIF rotation", "pixels"),
            _field("height", I32, "after EXIF rotation", "pixels"),
            _field("sha256", TEXT, "of the decoded RGB pixels, in hexadecimal"),
        ]
    ),
    key=("example_id",),
    sort=("example_id",),
)

THUMBNAILS = Table(
    "thumbnails",
    "A small picture of each image of the val split.",
    pa.schema([_EXAMPLE, _field("image", pa.binary(), "square centre crop", "WebP bytes")]),
    key=("example_id",),
    sort=("example_id",),
    references=(_OF_EXAMPLE,),
)

SKIPPED = Table(
    "skipped",
    "Inputs that could not be read, and why.",
    pa.schema(
        [
            _field("uri", TEXT, "the input, as in `examples`"),
            _field("reason", TEXT, "one line that names the fault and what mends it"),
        ]
    ),
    key=("uri",),
    sort=("uri",),
)

ENCODERS = Table(
    "encoders",
    "The image encoders: those that judge (the monosemanticity score), and those for search and labels.",
    pa.schema(
        [
            _field("encoder", TEXT, "its name in the run's config"),
            _field("source", TEXT, "folder or hub id, and revision"),
            _field("fingerprint", TEXT, "hash of its weights"),
            _field("d", I32, "width of its embedding"),
            _field("is_default", pa.bool_(), "whether `features.ms` is by this encoder"),
            _field("judges", pa.bool_(), "whether MS is computed by it; null (all do) before 1.2", null=True),
            _field("text", pa.bool_(), "whether it embeds words into the same space; null before 1.2", null=True),
        ]
    ),
    key=("encoder",),
    sort=("encoder",),
)  # fmt: skip

EMBEDDINGS = Table(
    "embeddings",
    "The encoders' embeddings of the val images.",
    pa.schema(
        [
            _ENCODER,
            _EXAMPLE,
            _field("vector", _list(F32), "of unit length"),
        ]
    ),
    key=("encoder", "example_id"),
    sort=("encoder", "example_id"),
    references=(_OF_ENCODER, _OF_EXAMPLE),
)

DICTIONARIES = Table(
    "dictionaries",
    "Sets of features at one hook point of one model: SAEs, and the raw neurons as the baseline.",
    pa.schema(
        [
            _field("dictionary_id", TEXT, "`MODEL/HOOK/DICTIONARY`, readable"),
            _field(
                "fingerprint",
                TEXT,
                "hash of weights, hook point and model: what people say is kept by it",
            ),
            _field("model", TEXT, "the model's name in the run's config"),
            _field("hook", TEXT, "hook point, as `vision.3.resid_post`"),
            _field("name", TEXT, "the dictionary's name in the run's config"),
            _field("tower", TEXT, "`vision` or `language`"),
            _field(
                "layer", I16, "layer, from 0; null behind the last layer (projection)", null=True
            ),
            _field("point", TEXT, "`resid_post`, `projection`, ..."),
            _field("depth", I16, "position of the hook point within its model, for ordering"),
            _field("basis", TEXT, "`sae` or `neurons`"),
            _field("architecture", TEXT, "as trained: `batchtopk`, `matryoshka`, `identity`, ..."),
            _field("d_in", I32, "width of the activations"),
            _field("d_sae", I32, "number of features"),
            _field(
                "group_sizes",
                _list(I32),
                "features of each Matryoshka level, inner first; may be empty",
            ),
            _field("source", TEXT, "where its weights come from"),
            _field("tokens", TEXT, "the tokens it reads: `patches`, `cls`, `text` or `all`"),
            _field(
                "pooling", TEXT, "how positions become one activation an image: `max` or `mean`"
            ),
            _field(
                "grid_height",
                I16,
                "rows of patches; null where there is no grid",
                "patches",
                null=True,
            ),
            _field("grid_width", I16, "columns of patches", "patches", null=True),
            _field(
                "grid_fit",
                TEXT,
                "what the grid covers: `crop`, the square centre of the picture, or `whole`, all of "
                "it; null without a grid, and in bundles before 1.1",
                null=True,
            ),
            _field("l0", F32, "mean number of active features a token, on val", "features"),
            _field(
                "fvu", F32, "fraction of variance unexplained, on val, over its tokens", "0 is best"
            ),
            _field("dead", I32, "features that no val image activates", "features"),
            _field("tokens_seen", I64, "training tokens; 0 for neurons", "tokens"),
            _field(
                "learnt_from",
                TEXT,
                "what a trained SAE learnt from, joined by ` + `: as `tokens`, and `captions`, which "
                "are captions without their image; null of others, and in bundles before 1.3",
                null=True,
            ),
            _field("n_examples", I64, "val images that the figures rest on", "images"),
            _field("default_encoder", TEXT, "the encoder behind `features.ms`"),
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
            _DICTIONARY,
            _FEATURE,
            _field("group", I16, "Matryoshka level, from 0; null without levels", null=True),
            _field("n_active", I64, "val images that activate it: above 0, of neurons above their minimum", "images"),
            _field("density", F32, "`n_active` over the val images", "0 to 1"),
            _field("max", F32, "largest pooled activation", "activation"),
            _field("mean", F32, "mean pooled activation over the images that activate it; 0 if dead", "activation"),
            _field("ms", F32, "monosemanticity score by the default encoder; null below two images", "-1 to 1", null=True),
            _field("ms_percentile", F32, "share of the dictionary's scored features with a lower or equal ms", "0 to 1", null=True),
            _field("label", TEXT, "the tag that most marks out its top images; where no image has tags its first word of `labels`; null without either", null=True),
            _field("label_score", F32, "above chance, 1 is best: of a tag by its share p of the top images, (p - base) / (1 - base); of a word by how well it tells, max(0, 2 tells - 1)", "0 to 1", null=True),
            _field("modality_score", F32, "as in `modality`; null where no caption is read, of dead features, and before 1.3", "0 text, 1 image", null=True),
            _field("pair_correlation", F32, "`correlation` of `modality`; null likewise", "-1 to 1", null=True),
        ]
    ),
    key=("dictionary_id", "feature_id"),
    sort=("dictionary_id", "feature_id"),
    references=(_OF_DICTIONARY,),
)  # fmt: skip

MONOSEMANTICITY = Table(
    "monosemanticity",
    "Monosemanticity score by each encoder, beside what sparsity alone would give.",
    pa.schema(
        [
            _DICTIONARY,
            _ENCODER,
            _FEATURE,
            _field("ms", F32, "score; null where fewer than two images activate the feature", "-1 to 1", null=True),
            _field("n_active", I64, "val images above the feature's minimum", "images"),
            _field("control_neuron", F32, "score of a seeded neuron kept at this feature's density", "-1 to 1", null=True),
            _field("control_direction", F32, "score of a seeded random direction kept at this feature's density", "-1 to 1", null=True),
        ]
    ),
    key=("dictionary_id", "encoder", "feature_id"),
    sort=("dictionary_id", "encoder", "feature_id"),
    references=(_OF_FEATURE, _OF_ENCODER),
)  # fmt: skip

TOP_EXAMPLES = Table(
    "top_examples",
    "The 16 examples that activate a feature most, with where in the image.",
    pa.schema(
        [
            _DICTIONARY,
            _MODALITY,
            _FEATURE,
            _field("rank", I16, "from 1"),
            _EXAMPLE,
            _field("activation", F32, "pooled activation", "activation"),
            _field("token", I32, "strongest position: patch in reading order; null without a grid", null=True),
            _field("patches", _list(pa.uint16()), "patches that are not 0, in reading order; empty without a grid"),
            _field("patch_acts", _list(F32), "their activations, aligned with `patches`", "activation"),
        ]
    ),
    key=("dictionary_id", "modality", "feature_id", "rank"),
    sort=("dictionary_id", "modality", "feature_id", "rank"),
    references=(_OF_FEATURE, _OF_EXAMPLE),
)  # fmt: skip

HISTOGRAMS = Table(
    "histograms",
    "Pooled activations of each live feature over the val images that activate it; of text, over the "
    "images with a caption that does.",
    pa.schema(
        [
            _DICTIONARY,
            _MODALITY,
            _FEATURE,
            _field(
                "edges", _list(F32), f"{HISTOGRAM_BINS + 1} bin edges, evenly spaced", "activation"
            ),
            _field(
                "counts",
                _list(I64),
                "images in each bin (the last includes its right edge)",
                "images",
            ),
        ]
    ),
    key=("dictionary_id", "modality", "feature_id"),
    sort=("dictionary_id", "modality", "feature_id"),
    references=(_OF_FEATURE,),
)

ACTIVATIONS = Table(
    "activations",
    "Every non-zero pooled activation of an SAE feature; of dense dictionaries "
    f"(neurons) the top {DENSE_ACTIVATIONS_KEPT:,} of each feature.",
    pa.schema(
        [
            _DICTIONARY,
            _MODALITY,
            _FEATURE,
            _EXAMPLE,
            _field("activation", F32, "pooled activation", "activation"),
        ]
    ),
    key=("dictionary_id", "modality", "feature_id", "example_id"),
    sort=("dictionary_id", "modality", "feature_id", "-activation", "example_id"),
    references=(_OF_FEATURE, _OF_EXAMPLE),
)

RECONSTRUCTION = Table(
    "reconstruction",
    "How well a dictionary reconstructs the activations, by kind of token, on val.",
    pa.schema(
        [
            _DICTIONARY,
            _field("token_type", TEXT, "`patch` (in a language model its image token), `cls`, `text`, `caption` (the words of the caption behind an image), `special`, `image` (one vector an image), or `caption_alone` (the caption's words without an image; of a contrastive model its one vector)"),
            _field("tokens", I64, "tokens measured", "tokens"),
            _field("mse", F64, "mean over tokens of the squared error's sum over the width", "activation squared"),
            _field("fvu", F64, "sum of squared errors over the sum of squares about the mean", "0 is best"),
            _field("cosine", F64, "mean cosine of activation and reconstruction", "-1 to 1"),
            _field("l0", F64, "mean number of active features a token", "features"),
        ]
    ),
    key=("dictionary_id", "token_type"),
    sort=("dictionary_id", "token_type"),
    references=(_OF_DICTIONARY,),
)  # fmt: skip

SAMPLE_EXAMPLES = Table(
    "sample_examples",
    "Examples of each SAE feature beyond its strongest: from quantiles of its activations, at random, and of "
    "its silence, so that one is not fooled by the top.",
    pa.schema(
        [
            _DICTIONARY,
            _MODALITY,
            _FEATURE,
            _field("kind", TEXT, "quantiles of the activations above 0 (`0-25 %` to `75-95 %`), `random` (any that activates it) or `silent` (any that does not)"),
            _EXAMPLE,
            _field("activation", F32, "pooled activation; 0 of silent ones", "activation"),
        ]
    ),
    key=("dictionary_id", "modality", "feature_id", "kind", "example_id"),
    sort=("dictionary_id", "modality", "feature_id", "kind", "example_id"),
    references=(_OF_FEATURE, _OF_EXAMPLE),
)  # fmt: skip

NEIGHBORS = Table(
    "neighbors",
    "For each feature those of its own dictionary that are nearest to it, in three ways.",
    pa.schema(
        [
            _DICTIONARY,
            _FEATURE,
            _field("kind", TEXT, "`decoder` (cosine of decoder directions), `jaccard` (val images that activate both over those that activate either) or `correlation` (of the activations over the val images); neurons have only the last"),
            _field("rank", I16, "from 1"),
            _field("neighbor", I32, "feature of the same dictionary"),
            _field("score", F32, "by the kind", "-1 to 1"),
        ]
    ),
    key=("dictionary_id", "feature_id", "kind", "rank"),
    sort=("dictionary_id", "feature_id", "kind", "rank"),
    references=(_OF_FEATURE,),
)  # fmt: skip

MATCHES = Table(
    "matches",
    "For each feature its best counterparts in every other dictionary, by correlation of the activations over the val images.",
    pa.schema(
        [
            _DICTIONARY,
            _FEATURE,
            _field("other_id", TEXT, "the other dictionary, as in `dictionaries`"),
            _field("rank", I16, "from 1"),
            _field("match", I32, "feature of the other dictionary"),
            _field("correlation", F32, "of the activations", "-1 to 1"),
            _field("jaccard", F32, "overlap of the two features' top images", "0 to 1", null=True),
        ]
    ),
    key=("dictionary_id", "feature_id", "other_id", "rank"),
    sort=("dictionary_id", "feature_id", "other_id", "rank"),
    references=(_OF_FEATURE,),
)  # fmt: skip

MAPS = Table(
    "maps",
    "Two coordinates a feature: those that are alike lie together.",
    pa.schema(
        [
            _field("basis", TEXT, "`decoder` (each dictionary for itself, by its decoder directions) or `activations` (several on one plane, by the images that they fire on)"),
            _DICTIONARY,
            _FEATURE,
            _field("x", F32, "only who is near whom has a meaning", "of the map"),
            _field("y", F32, "as x", "of the map"),
        ]
    ),
    key=("basis", "dictionary_id", "feature_id"),
    sort=("basis", "dictionary_id", "feature_id"),
    references=(_OF_FEATURE,),
)  # fmt: skip

ARTEFACTS = Table(
    "artefacts",
    "SAE features that look like something other than a concept, and why: hints to look, no verdicts.",
    pa.schema(
        [
            _DICTIONARY,
            _FEATURE,
            _field("dead", pa.bool_(), "fires on no token of the val images"),
            _field("dense", pa.bool_(), "fires on more than a tenth of the tokens"),
            _field("on_cls", pa.bool_(), "fires mostly on CLS and register tokens"),
            _field("on_high_norm", pa.bool_(), "fires on tokens that are on average at least twice as long as all"),
            _field("duplicate", pa.bool_(), "a live feature has nearly the same decoder direction"),
            _field("token_density", F32, "share of the tokens read on which it fires", "0 to 1"),
            _field("cls_share", F32, "share of its firings that are on CLS or register tokens; null where only one kind is read, or it is dead", "0 to 1", null=True),
            _field("norm_ratio", F32, "mean norm of the tokens on which it fires over that of all tokens read; null if dead", "times", null=True),
            _field("twin", I32, "the feature with the nearest decoder direction, where it is a duplicate", null=True),
        ]
    ),
    key=("dictionary_id", "feature_id"),
    sort=("dictionary_id", "feature_id"),
    references=(_OF_FEATURE,),
)  # fmt: skip

LABELS = Table(
    "labels",
    "What automatic labels say of a feature, and how well each tells the feature's images from others.",
    pa.schema(
        [
            _DICTIONARY,
            _FEATURE,
            _field("kind", TEXT, "`class` (the class that most marks out its top images), `model` (what a vision-language model says of them) or `word` (the words of a vocabulary nearest to them, by a contrastive encoder)"),
            _field("rank", I16, "from 1, the best"),
            _field("label", TEXT, "a word or a short phrase"),
            _field("value", F32, "of a class its share of the top images; of a word the cosine with what sets them apart; null of a model's", "-1 to 1", null=True),
            _field("tells", F32, "AUROC of the label's similarity: how often an image from anywhere in the feature's range is nearer to the label than one that does not activate it; 0.5 is chance; null without a text encoder or with too few images", "0 to 1", null=True),
        ]
    ),
    key=("dictionary_id", "feature_id", "kind", "rank"),
    sort=("dictionary_id", "feature_id", "kind", "rank"),
    references=(_OF_FEATURE,),
)  # fmt: skip

CAPTIONS = Table(
    "captions",
    "The captions of the val images that are read as examples of their own.",
    pa.schema(
        [
            _field("caption_id", I64, "53 bits of a hash of the image's uri and the number: stable, exact in JavaScript"),
            _EXAMPLE,
            _field("number", I16, "which of the image's captions, from 0 in the source's order"),
            _field("text", TEXT, "the caption"),
        ]
    ),
    key=("caption_id",),
    sort=("caption_id",),
    references=(_OF_EXAMPLE,),
)  # fmt: skip

CAPTION_TOKENS = Table(
    "caption_tokens",
    "The captions as a model reads them.",
    pa.schema(
        [
            _field("model", TEXT, "as in `dictionaries`"),
            _field("caption_id", I64, "as in `captions`"),
            _field("tokens", _list(TEXT), "the pieces of the text that are one token each, with the blanks before them; a piece is empty where several tokens make one letter; none of a caption that the model reads nothing of"),
            _field("cut", I32, "letters beyond what the model reads at once, which are left out", "letters"),
        ]
    ),
    key=("model", "caption_id"),
    sort=("model", "caption_id"),
    references=((("caption_id",), "captions"),),
)  # fmt: skip

TOP_CAPTIONS = Table(
    "top_captions",
    "The 16 captions that activate an SAE feature most, read without an image, with where in the text.",
    pa.schema(
        [
            _DICTIONARY,
            _FEATURE,
            _field("rank", I16, "from 1"),
            _field("caption_id", I64, "as in `captions`"),
            _field("activation", F32, "the strongest token's, or the whole caption's one", "activation"),
            _field("token", I32, "strongest token, as in `caption_tokens`, from 0; null where the model makes one vector of a caption", null=True),
            _field("tokens", _list(pa.uint16()), "tokens that are not 0, rising; empty where there is one vector"),
            _field("token_acts", _list(F32), "their activations, aligned with `tokens`", "activation"),
        ]
    ),
    key=("dictionary_id", "feature_id", "rank"),
    sort=("dictionary_id", "feature_id", "rank"),
    references=(_OF_FEATURE, (("caption_id",), "captions")),
)  # fmt: skip

MODALITY = Table(
    "modality",
    "Whether an SAE feature fires on pictures, on words, or on both, over the val images and their captions.",
    pa.schema(
        [
            _DICTIONARY,
            _FEATURE,
            _field("image_active", I64, "val images that activate it", "images"),
            _field("text_active", I64, "val images with a caption that activates it", "images"),
            _field("image_density", F32, "`image_active` over the val images", "0 to 1"),
            _field("text_density", F32, "`text_active` over the val images that have captions", "0 to 1"),
            _field("image_mean", F32, "mean activation over all image tokens, zeros included", "activation"),
            _field("text_mean", F32, "mean activation over all caption tokens, zeros included", "activation"),
            _field("modality_score", F32, "image_mean / (image_mean + text_mean); null where both are 0", "0 text, 1 image", null=True),
            _field("correlation", F32, "of its activation on images and on their captions, over the images with captions; null where either is constant", "-1 to 1", null=True),
            _field("correlation_shuffled", F32, "the same with the captions of other images, drawn at random", "-1 to 1", null=True),
            _field("bridge", F32, "bridge score with itself: mean over pairs of image and caption of the product of its two activations", "activation squared"),
            _field("bridge_best", F32, "the largest bridge score of its image activations with another feature's text activations: mean product times the cosine of their decoder directions; null where that is 0 of all", "activation squared", null=True),
            _field("bridge_feature", I32, "that other feature", null=True),
            _field("top_overlap", F32, "Jaccard of its top images and the images of its top captions; null where both are empty", "0 to 1", null=True),
        ]
    ),
    key=("dictionary_id", "feature_id"),
    sort=("dictionary_id", "feature_id"),
    references=(_OF_FEATURE,),
)  # fmt: skip

OVERLAP = Table(
    "overlap",
    "How many features of an SAE fire on pictures alone, on words alone and on both, by what counts as firing.",
    pa.schema(
        [
            _DICTIONARY,
            _field("threshold", F64, "a feature fires on pictures, or on words, if its density there is above this", "0 to 1"),
            _field("live", I64, "features that fire on either at threshold 0: what the shares are of", "features"),
            _field("image_only", F64, "share that fires on pictures alone", "0 to 1"),
            _field("text_only", F64, "share that fires on words alone", "0 to 1"),
            _field("shared", F64, "share that fires on both", "0 to 1"),
            _field("shared_shuffled", F64, "share expected if which feature has which text density were shuffled among the live ones", "0 to 1"),
        ]
    ),
    key=("dictionary_id", "threshold"),
    sort=("dictionary_id", "threshold"),
    references=(_OF_DICTIONARY,),
)  # fmt: skip

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        EXAMPLES,
        THUMBNAILS,
        SKIPPED,
        ENCODERS,
        EMBEDDINGS,
        DICTIONARIES,
        FEATURES,
        MONOSEMANTICITY,
        TOP_EXAMPLES,
        HISTOGRAMS,
        ACTIVATIONS,
        RECONSTRUCTION,
        SAMPLE_EXAMPLES,
        NEIGHBORS,
        MATCHES,
        MAPS,
        ARTEFACTS,
        LABELS,
        CAPTIONS,
        CAPTION_TOKENS,
        TOP_CAPTIONS,
        MODALITY,
        OVERLAP,
    )
}


def dictionary_id(model: str, hook: str, name: str) -> str:
    """`MODEL/HOOK/DICTIONARY`, the readable identity of a dictionary within a bundle."""
    return f"{model}/{hook}/{name}"


def as_markdown() -> str:
    """The data dictionary: every table, key, order and column, as docs/data-dictionary.md."""
    lines = [
        "# Data dictionary",
        "",
        f"Contract {VERSION}. Generated from `pipeline/contract.py` by `python -m pipeline docs`.",
    ]
    for table in TABLES.values():
        order = ", ".join(
            f"{name.removeprefix('-')} falling" if name.startswith("-") else name
            for name in table.sort
        )
        lines += ["", f"## {table.name}", "", table.doc, ""]
        lines += [f"Key: {', '.join(table.key)}. Order: {order}.", ""]
        lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
        for field in table.schema:
            doc, unit = (field.metadata[name].decode() for name in (b"doc", b"unit"))
            kind = str(field.type).replace("element: ", "").replace(" not null", "")
            lines.append(f"| `{field.name}` | {kind} | {unit} | {doc} |")
    return "\n".join(lines) + "\n"
