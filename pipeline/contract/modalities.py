"""Tables of features between pictures and words."""

import pyarrow as pa

from pipeline.contract.table import (
    DICTIONARY_ID,
    F32,
    F64,
    FEATURE_ID,
    I16,
    I32,
    I64,
    IN_DICTIONARIES,
    IN_FEATURES,
    Table,
    field,
    list_of,
)

TOP_CAPTIONS = Table(
    "top_captions",
    "The 16 captions that activate an SAE feature most, read without an image, with where in the text.",
    pa.schema(
        [
            DICTIONARY_ID,
            FEATURE_ID,
            field("rank", I16, "from 1"),
            field("caption_id", I64, "as in `captions`"),
            field("activation", F32, "the strongest token's, or the whole caption's one", "activation"),
            field("token", I32, "strongest token, as in `caption_tokens`, from 0; null where the model makes one vector of a caption", null=True),
            field("tokens", list_of(pa.uint16()), "tokens that are not 0, rising; empty where there is one vector"),
            field("token_acts", list_of(F32), "their activations, aligned with `tokens`", "activation"),
        ]
    ),
    key=("dictionary_id", "feature_id", "rank"),
    sort=("dictionary_id", "feature_id", "rank"),
    references=(IN_FEATURES, (("caption_id",), "captions")),
)  # fmt: skip

MODALITY = Table(
    "modality",
    "Whether an SAE feature fires on pictures, on words, or on both, over the val images and their captions. Of "
    "SAEs that read image tokens alone: where one reads words beside the image, its activations on images are not the picture's.",
    pa.schema(
        [
            DICTIONARY_ID,
            FEATURE_ID,
            field("image_active", I64, "val images that activate it", "images"),
            field("text_active", I64, "val images with a caption that activates it", "images"),
            field("image_density", F32, "`image_active` over the val images", "0 to 1"),
            field("text_density", F32, "`text_active` over the val images that have captions", "0 to 1"),
            field("image_mean", F32, "mean activation over all image tokens, zeros included", "activation"),
            field("text_mean", F32, "mean activation over all caption tokens, zeros included", "activation"),
            field("modality_score", F32, "image_mean / (image_mean + text_mean); null where both are 0", "0 text, 1 image", null=True),
            field("correlation", F32, "of its activation on images and on their captions, over the images with captions; null where either is constant", "-1 to 1", null=True),
            field("correlation_shuffled", F32, "the same with the captions of other images, drawn at random", "-1 to 1", null=True),
            field("bridge", F32, "bridge score with itself: mean over pairs of image and caption of the product of its two activations", "activation squared"),
            field("bridge_best", F32, "the largest bridge score of its image activations with another feature's text activations: mean product times the cosine of their decoder directions; null where that is 0 of all", "activation squared", null=True),
            field("bridge_feature", I32, "that other feature", null=True),
            field("top_overlap", F32, "Jaccard of its 16 top images and the 16 images whose captions activate it most; null where both are empty", "0 to 1", null=True),
        ]
    ),
    key=("dictionary_id", "feature_id"),
    sort=("dictionary_id", "feature_id"),
    references=(IN_FEATURES,),
)  # fmt: skip

OVERLAP = Table(
    "overlap",
    "How many features of an SAE fire on pictures alone, on words alone and on both, by what counts as firing.",
    pa.schema(
        [
            DICTIONARY_ID,
            field("threshold", F64, "a feature fires on pictures, or on words, if its density there is above this", "0 to 1"),
            field("live", I64, "features that fire on either at threshold 0: what the shares are of", "features"),
            field("image_only", F64, "share that fires on pictures alone", "0 to 1"),
            field("text_only", F64, "share that fires on words alone", "0 to 1"),
            field("shared", F64, "share that fires on both", "0 to 1"),
            field("shared_shuffled", F64, "share expected if which feature has which text density were shuffled among the live ones", "0 to 1"),
        ]
    ),
    key=("dictionary_id", "threshold"),
    sort=("dictionary_id", "threshold"),
    references=(IN_DICTIONARIES,),
)  # fmt: skip
