"""The explanations that stand one hover away from each number, in plain words.

What a column of features means is said in its record (`records/columns.py`).
"""

from dashboard.records import columns

FEATURE = columns.about("feature_id")
LABEL = columns.about("label")
MS = columns.about("ms")
PERCENTILE = columns.about("ms_percentile")
DENSITY = columns.about("density")
ACTIVE = columns.about("n_active")
MAX = columns.about("max")
MEAN = columns.about("mean")
LEVEL = columns.about("group")
MODALITY_SCORE = columns.about("modality_score")
PAIR_CORRELATION = columns.about("pair_correlation")
STEERING_SCORE, STEERS = columns.STEERING_SCORE, columns.STEERS
HOOK = "Where in the model the activations are read."
DICTIONARY = "A set of features: a sparse autoencoder, or the raw neurons as the baseline."
LEAST = (
    "How many val images activate the feature, at least. MS rests on pairs of images: on a few "
    "images it says little. At 0 images, dead features are shown too."
)
CAPTIONS = (
    "The captions that activate the feature most, read as text alone, without their images. A "
    "token stands on the colour of its activation; the strongest is underlined."
)
ONE_VECTOR_TEXT = (
    "The model makes one vector of a caption, so that no token has its own activation."
)
SIDE_NAMES = {"pictures": "pictures alone", "words": "words alone", "both": "both"}
FIRES_ON = (
    "Whether any image and whether any caption activates the feature. Features of words alone are "
    "shown on however few images they are active."
)
SIDES = "Whether the feature fires on pictures, on words or on both, and on what belongs together."
TEXT_HISTOGRAM = "The val images with a caption that activates it, by how much the strongest does."
NO_TEXT = (
    "Words do not reach this place of the model, so no caption went through this dictionary. Look "
    "at one behind the projection, or of the language model."
)
MIXED = (
    "This dictionary reads words beside the picture (tokens = text or all), so that its activation "
    "on an image is not the picture's alone: pictures and words are not compared. Give it "
    "tokens = patches for that."
)
NO_PURE = (
    "Captions were read, but every dictionary that they went through reads words beside the "
    "picture too, so that none has a side of pictures. Give one tokens = patches, then run "
    "python -m pipeline run CONFIG."
)
NEURONS_READ_NONE = (
    "Captions are compared for SAE features, not for raw neurons. Look at an SAE of this hook "
    "point."
)
WORDS_ONLY = "No val image activates this feature: of the two, it fires on words alone."
SILENT_ON_TEXT = "No caption activates this feature: of the two, it fires on pictures alone."
SILENT_ON_BOTH = "No caption activates this feature either."
STAR = "Starred features are in Lists, and Browse can show them alone."
REMARKS = "Say what you think it is, and write a note. Others who open this run see both."
YOUR_NAME = "Your stars, notes and labels are kept under this name. This browser remembers it."
YOUR_LABEL = "What you would call this feature. The automatic label stays beside it."
NAME_KINDS = {"word": "word", "class": "class", "model": "said by a model"}
NAMES = (
    "Words of a vocabulary, the commonest class and what a vision-language model says, each with "
    "how often an image from anywhere in the feature's range is nearer to that text than an image "
    "that does not activate the feature (AUROC): 1 tells them apart, 0.5 is chance."
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
EXPORT = "Files to keep or to share, made when you ask for them."
READ_AT_CLS = "activation at the CLS token; the map shows where patches carry the feature too"
NO_PATCH = "no patch of these images carries the feature: no heat map"
ONE_VECTOR = "one vector an image here: no heat map"
PATCH_HINT = "Hover over a patch to see its features; choose a feature to see where it fires."
PATCHES_OF_CLS = (
    "This dictionary reads the CLS token: the activations of the image are those there. On the "
    "patches the same features are read from the patches' own activations."
)
OF_NEURONS = ", which know of each neuron only the images that it fires on most"
ON_IMAGE = "The features whose activation on the image is largest, with where they fire."
OWN_IMAGE = (
    "The model reads it live. It stays in this visit and is not kept. PNG, JPEG, WebP, GIF, BMP or "
    "TIFF, up to 25 million pixels."
)
MINE = "Only features that somebody has starred, or said something of: a star, a note, a label."
SEARCH = (
    "In labels: what the pipeline and people call a feature. By what it shows: the words and each "
    "val image are embedded by the run's own contrastive encoder; features whose top images are "
    "nearest to the words come first."
)
SEARCH_IMAGE = (
    "Features whose top images are most like this one come first, by the run's own image encoder. "
    "The image stays in this visit and is not kept."
)
UNSTEERED_SCORE = "The same cosine of what the model says without an edit."
SHUFFLED_SCORE = "The same cosine of what it says while another steered feature is turned up."
STEERING_GAIN = "Steering score less that of the unsteered answers, with its 95 % interval."
MEAN_GAIN = (
    "Mean over the features of the steering score less that of the unsteered answers, with the "
    "95 % interval of the mean."
)
OVER_SHUFFLED = "The same less the score of answers while another feature is turned up."
CHANGED = "The share of the images of which turning the feature up changes the answer."
STEERING_CHART = (
    "Each point is a feature: its steering score against that of the unsteered answers, with the "
    "95 % interval of the difference. On the dashed line turning it up changes nothing."
)
REACHES_NOTHING = (
    "No answer changed, whatever feature was turned up: what the model says does not depend on "
    "this hook point at the tokens edited (a LLaVA does not read what lies behind its vision "
    "layer), or the strength is too low."
)
NO_STEERING = (
    "No feature was steered in this run. Give its config a section [steering] (pipeline/configs/"
    "llava-1.5-7b.toml has one), then run python -m pipeline run CONFIG: the step steer fills this "
    "look. It needs a model that talks, an SAE and a contrastive encoder."
)
MATCHED = (
    "A feature is found again in another dictionary if one there correlates with it by 0.5 or more "
    "over the val images."
)
LAYOUT = (
    "Own maps: each dictionary by itself, features with like decoder directions near each other. "
    "One plane: several dictionaries together, features that fire on the same images near each "
    "other, whichever layer they are of."
)
OWN_MAPS = (
    "A map each, side by side. What you select in one shows in the others where it has a match (a "
    "correlation of 0.5 or more)."
)
ONE_PLANE = "All in one map: features that fire on the same images lie together."
THRESHOLD = "From which correlation over the val images on a best match counts as the same feature."
COMPARE = (
    "Dictionaries in columns, one dictionary through the layers, or the features that you chose."
)
COLUMNS = "Two to four of them. The first is the reference: its features lead the rows."
ROWS_BY = (
    "Correlation: the mean over the columns. Most different MS: how far MS lies from that of the "
    "match that differs most."
)
FOUND_AGAIN = (
    "How many of a dictionary's live features have a best match in the other one that correlates "
    "enough over the val images. The two directions differ: several features can share one match."
)
FLOW = (
    "Each bar is a layer's live features. A ribbon leaves with those whose best match in the next "
    "layer, by correlation of activations over the val images, is close enough, and arrives with "
    "those there whose best match in this layer is. It narrows where features share one match "
    "(told below it). Press a part to list its features."
)
EVERY_TWO = (
    "Whether chosen features show the same images, and, where one is among the other's stored "
    "neighbours or best matches, how closely they go together."
)
L0 = "Mean number of features active at a token."
L0_KINDS = f"{L0} By kind of token where one points at the number, and in the table below."
FVU = "Fraction of variance unexplained: what the reconstruction misses; 0 is perfect."
DEAD = "Features that no val image activates."
DEAD_ON_IMAGES = f"{DEAD} Captions are not counted: some of these features fire on words alone."
CONTROLS = (
    "What sparsity alone would give: a random neuron, and a random direction, kept only where they "
    "are strongest, at this feature's density."
)
ARCHITECTURE = "The kind of SAE: how it decides which features are active."
SHAPE = "Width of the activations, and number of features."
READS = (
    "Which tokens it reads, and how an image's positions become one activation. With captions: "
    "they went through it too, without their images."
)
LEARNT_FROM = "The tokens that its training read; with captions, also those read without an image."
SEEN = "Activation vectors that it was trained on, counted with repetition."
TOKEN_KINDS = "Reconstruction is measured for each kind of token by itself."
COSINE = "Mean cosine of activation and reconstruction; 1 is best."
GUIDE_FEATURE = (
    "One direction in the model's activations: a number that is high for some images and zero or "
    "low for the rest. Here are the images that light one feature of this run up most. Open it."
)
GUIDE_MS = (
    "MS, the monosemanticity score, says how alike the images are that light a feature up, by the "
    "judgement of another image encoder: near 1 if all are alike. Of those that fire on {least} "
    "images or more the other feature is the highest of {best}, this one the lowest of {worst}."
)
GUIDE_ON = "Each page has its address: send the link, and others see what you see."
GUIDE_WAYS = (
    ("Browse", "browse", "all features, by words, image, score"),
    ("Map", "map", "those that are alike lie together"),
    ("Modalities", "modalities", "pictures against words"),
    ("Compare", "compare", "layers, SAEs and neurons side by side"),
    ("Steering", "steering", "turn features up and see what the model says"),
    ("Image", "image", "what fires on one image, and where"),
    ("Lists", "lists", "what you and others starred and noted"),
)
ORPHANS = (
    "What people say belongs to a dictionary's weights, not to its name. These features are of "
    "weights that this run does not hold: trained anew since, or in another run."
)
EXCHANGE = (
    "All stars, notes, labels and lists as one file. An import adds what is not here and takes "
    "nothing away; of two texts the later one holds. Where people sign in, it writes as you alone."
)
IMPORTED_AS_THEIRS = (
    "What the file says others said, {count} in all, is kept under the names that it gives, which "
    "nothing proves."
)
IMPORTED_AS_MINE = (
    "The file says that others said {count} of what it holds. A file proves nobody's name: of "
    "these, lists are yours now, and a note or label where you had none; nothing that others said "
    "here changed."
)
SHARE = "The list as a file, with the notes on its features and their labels, for others to import."
ARRANGE = "Arrange: put features in another order, or take them out."
NO_STARS = "You have no stars yet. Open a feature and press Star: it is kept here, under your name."
EMPTY_LIST = (
    "This list is empty. Choose features with the box on their cards, in Browse or wherever cards "
    "are shown, and take them to List and export."
)
AWAY = "Nothing can be kept here just now. What was kept is not lost: try again in a few minutes."
WAITING = "Not kept yet: it waits here, and is kept as soon as the database answers."
AWAY_TO_JUDGE = (
    "Answers cannot be kept just now. Nothing is lost: what you answered before is kept. This page "
    "goes on by itself; you can also come back later."
)
AWAY_JUDGING = (
    "Answers cannot be kept just now. Nothing is lost: what you press is sent again until it is "
    "kept."
)
AWAY_TO_OWN = (
    "Whose study this is cannot be looked up just now, for the database does not answer. Nothing "
    "is lost: try again in a few minutes. The server's log says why."
)
NO_STORE = (
    "Stars, notes and lists cannot be read. Put right what is said above, then load this page anew."
)
MODALITIES = (
    "Every feature by how often it fires on pictures and on words; how layers share features "
    "between the two; and how well each kind of token is reconstructed."
)
IMAGE_DENSITY = "The share of the val images that activate the feature."
TEXT_DENSITY = (
    "The share of the val images with captions of which a caption, read without the image, "
    "activates the feature."
)
BRIDGE = (
    "Mean over pairs of image and caption of the product of the feature's two activations: how "
    "much passes from pictures to words along one direction. Best partner: the other feature "
    "whose text activations give the most with this one's image activations, times the cosine of "
    "the two decoder directions."
)
TOP_OVERLAP = (
    "Of its 16 top images and the 16 images whose captions activate it most, the share that is in "
    "both (Jaccard index)."
)
FIRES = (
    "Only features that fire on at least this share of the val images, or of the images' captions."
)
LEAST_MS = "Only features with at least this MS."
BESIDE = (
    "A second dictionary, of another layer or of the same one, on the same axes and colours. What "
    "you select in one shows in the other where it has a match (a correlation of 0.5 or more)."
)
SCATTER = (
    "Each point is a feature. On the dashed line it fires on as many images as captions; in the "
    "grey lanes it fires on one side alone. Points of equal counts are spread a little."
)
SHARES = (
    "Of the features that fire on anything at all: those that fire on pictures alone, on words "
    "alone, and on both, where firing means a density above the threshold. Dashed and hollow: the "
    "share that would be on both if which feature has which text density were shuffled. At low "
    "thresholds it says nothing: at 0 every live feature fires on one side at least, so that the "
    "real share is never above the shuffled one."
)
FIRING = "A feature counts as firing on pictures, or on words, if its density there is above this."
BY_THRESHOLD = "The same shares at one layer, for every threshold. The rule is the one chosen."
BY_LAYER = (
    "The median pair correlation of the features that fire on both, and half of them around it, "
    "layer by layer. Dashed and hollow: with the captions of other images."
)
TOKEN_NAMES = {
    "patch": "image", "image": "image", "caption": "text behind the image",
    "caption_alone": "text alone", "text": "prompt",
}  # fmt: skip
BY_TOKEN = (
    "Reconstruction of the val images' tokens, of their captions' words behind the image, and of "
    "the same words in a prompt of text alone."
)
CONVERGED = (
    "From which layer on the fvu of image and of text differ by at most this part of the larger "
    "one, there and at every later layer. That they meet in middle to late layers is Venhoff et "
    "al. 2025; the rule is ours."
)
MSE = "Mean over tokens of the squared error, summed over the width; 0 is perfect."
NO_SIDES = (
    "This bundle was made before captions were read (contract 1.3). To compare pictures with "
    "words, run the pipeline again: python -m pipeline run CONFIG"
)
NO_WORDS = (
    "No caption was read in this run. Give captions: a caption column of your CSV or data set; "
    "then run python -m pipeline run CONFIG, with captions not switched off under [captions]."
)
