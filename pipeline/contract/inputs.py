"""Tables of what goes in: images, captions, and the encoders' view of them."""

import pyarrow as pa

from pipeline.contract.table import (
    ENCODER_NAME,
    EXAMPLE_ID,
    F32,
    I16,
    I32,
    I64,
    IN_ENCODERS,
    IN_EXAMPLES,
    TEXT,
    Table,
    field,
    list_of,
)

EXAMPLES = Table(
    "examples",
    "The images, with what is known of each.",
    pa.schema(
        [
            field("example_id", I64, "53 bits of a hash of the uri: stable, exact in JavaScript"),
            field(
                "uri", TEXT, "path within its folder, row of its data set, or number of its scene"
            ),
            field("captions", list_of(TEXT), "captions, in the source's order; may be empty"),
            field("label", TEXT, "class", null=True),
            field(
                "taxonomy", list_of(TEXT), "the class's path, from the coarsest on; may be empty"
            ),
            field(
                "tags", list_of(TEXT), "every attribute known of the image, sorted; may be empty"
            ),
            field(
                "split",
                TEXT,
                "`train` (SAEs learn from it) or `val` (everything is measured on it)",
            ),
            field("width", I32, "after EXIF rotation", "pixels"),
            field("height", I32, "after EXIF rotation", "pixels"),
            field("sha256", TEXT, "of the decoded RGB pixels, in hexadecimal"),
        ]
    ),
    key=("example_id",),
    sort=("example_id",),
)

THUMBNAILS = Table(
    "thumbnails",
    "A small picture of each image of the val split.",
    pa.schema([EXAMPLE_ID, field("image", pa.binary(), "square centre crop", "WebP bytes")]),
    key=("example_id",),
    sort=("example_id",),
    references=(IN_EXAMPLES,),
)

SKIPPED = Table(
    "skipped",
    "Inputs that could not be read, and why.",
    pa.schema(
        [
            field("uri", TEXT, "the input, as in `examples`"),
            field("reason", TEXT, "one line that names the fault and what mends it"),
        ]
    ),
    key=("uri",),
    sort=("uri",),
)

CAPTIONS = Table(
    "captions",
    "The captions of the val images that are read as examples of their own.",
    pa.schema(
        [
            field("caption_id", I64, "53 bits of a hash of the image's uri and the number: stable, exact in JavaScript"),
            EXAMPLE_ID,
            field("number", I16, "which of the image's captions, from 0 in the source's order"),
            field("text", TEXT, "the caption"),
        ]
    ),
    key=("caption_id",),
    sort=("caption_id",),
    references=(IN_EXAMPLES,),
)  # fmt: skip

CAPTION_TOKENS = Table(
    "caption_tokens",
    "The captions as a model reads them.",
    pa.schema(
        [
            field("model", TEXT, "as in `dictionaries`"),
            field("caption_id", I64, "as in `captions`"),
            field("tokens", list_of(TEXT), "the pieces of the text that are one token each, with the blanks before them; a piece is empty where several tokens make one letter; none of a caption that the model reads nothing of"),
            field("cut", I32, "letters beyond what the model reads at once, which are left out", "letters"),
        ]
    ),
    key=("model", "caption_id"),
    sort=("model", "caption_id"),
    references=((("caption_id",), "captions"),),
)  # fmt: skip

ENCODERS = Table(
    "encoders",
    "The image encoders: those that judge (the monosemanticity score), and those for search and labels.",
    pa.schema(
        [
            field("encoder", TEXT, "its name in the run's config"),
            field("source", TEXT, "folder or hub id, and revision"),
            field("fingerprint", TEXT, "hash of its weights"),
            field("d", I32, "width of its embedding"),
            field("is_default", pa.bool_(), "whether `features.ms` is by this encoder"),
            field("judges", pa.bool_(), "whether MS is computed by it; null (all do) before 1.2", null=True),
            field("judges_itself", pa.bool_(), "whether it judges and is the image tower of a model under study, by its weights: its MS is that model's judgement of itself; null before 1.5", null=True),
            field("text", pa.bool_(), "whether it embeds words into the same space; null before 1.2", null=True),
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
            ENCODER_NAME,
            EXAMPLE_ID,
            field("vector", list_of(F32), "of unit length"),
        ]
    ),
    key=("encoder", "example_id"),
    sort=("encoder", "example_id"),
    references=(IN_ENCODERS, IN_EXAMPLES),
)
