"""The explanations that stand one hover away from each number, in plain words."""

FEATURE = (
    "A feature is one direction in the model's activations: a number that is high for some images "
    "and zero or low for the rest."
)
HOOK = "Where in the model the activations are read."
DICTIONARY = "A set of features: a sparse autoencoder, or the raw neurons as the baseline."
MS = (
    "Monosemanticity score: how alike the images are that activate the feature, by the judgement "
    "of an independent image encoder. 1 means all alike; unrelated images give a low score."
)
PERCENTILE = "The share of this dictionary's scored features with a lower or equal MS."
DENSITY = "The share of the val images that activate the feature."
MEAN = "Mean activation over the images that activate the feature."
MAX = "The largest activation over the val images."
ACTIVE = "How many val images activate the feature."
LEAST = (
    "How many val images activate the feature, at least. MS rests on pairs of images: on a few "
    "images it says little. At 0 images, dead features are shown too."
)
LABEL = (
    "The tag that most marks out the top images, and how far its share among them is above chance "
    "(1: all of them carry it; 0: no more than any images)."
)
NEAREST = (
    "Features of this dictionary whose decoder directions point most nearly the same way (cosine)."
)
TOGETHER = (
    "Features of this dictionary that fire on the same images: the images that activate both, over "
    "those that activate either (Jaccard index)."
)
ALIKE = "Features of this dictionary whose activations go up and down together over the val images."
PATH = (
    "The feature of each other dictionary whose activations over the val images correlate most "
    "with this one's, and the overlap of their top images (Jaccard index). A best match below 0.5 "
    "says that there is hardly one."
)
BEYOND = (
    "The top images alone make a feature look cleaner than it is. Here are examples from the rest "
    "of its range, by quantiles of its activations above 0, and others at random."
)
FLAG_NAMES = {
    "dense": "dense", "on_cls": "on CLS", "on_high_norm": "on high norm",
    "duplicate": "duplicates",
}  # fmt: skip
WITHOUT = "Features that may be artefacts, by kind; each feature's page explains its flags."
FLAGS = {
    "dead": "fires on no token of the val images",
    "dense": "fires on more than a tenth of the tokens: it tells little apart",
    "on_cls": "fires mostly on CLS or register tokens, not on what is in a place",
    "on_high_norm": "fires on tokens at least twice as long as others: often registers in disguise",
    "duplicate": "another live feature has nearly the same decoder direction",
}
READ_AT_CLS = "activation at the CLS token; the map shows where patches carry the feature too"
NO_PATCH = "no patch of these images carries the feature: no heat map"
ONE_VECTOR = "one vector an image here: no heat map"
LEVEL = "Matryoshka level, from 1, the innermost."
MATCHED = (
    "A feature is found again in another dictionary if one there correlates with it by 0.5 or more "
    "over the val images."
)
L0 = "Mean number of features active at a token."
FVU = "Fraction of variance unexplained: what the reconstruction misses; 0 is perfect."
DEAD = "Features that no val image activates."
CONTROLS = (
    "What sparsity alone would give: a random neuron, and a random direction, kept only where they "
    "are strongest, at this feature's density."
)
