"""The explanations that stand one hover away on Steering, as `words` holds those of other pages."""

STEERING = (
    "Turn features of the model up or down while it answers, and see what changes in what it says. "
    "Edits go through the same hooks and SAEs as the pipeline's."
)
UNSTEERED = "The model as it is."
RECONSTRUCTION_ONLY = (
    "The SAE's reconstruction in place of the activations, no feature edited: what the SAE loses "
    "is lost here, so that steering is not blamed for it."
)
STEERED = (
    "With the edits, in the same batch and with the same chance numbers as the others: what "
    "differs is the edits' doing. Words that the unsteered model does not say there are lit; a "
    "wavy line marks a token to which the unsteered model gives less than 1 %."
)
PROMPTED = "The unsteered model, asked for the concept in words: what steering has to beat."
COHERENCE = (
    "Perplexity of the steered text for the unsteered model, which reads along without edits: near "
    "the unsteered text's own it is as fluent; far above, the edit breaks the language."
)
OWN_PERPLEXITY = "Perplexity of the text for the model that says it, from 1 (sure of every token)."
TOKENS_SAID = "Tokens of the answer, that of its end among them."
SPEED = "Tokens of this answer a second; all columns are said at once, as rows of one batch."
ODD_TOKEN = "The unsteered model gives this token less than 1 %."
NEXT_TOKENS = (
    "The likeliest tokens at one place: by the unsteered model, and by the steered one, after the "
    "same words. Press a token above, or go along them with the arrow keys, to see another place."
)
MODE = (
    "Clamp: the activation becomes the strength at every token in scope. Add: the strength is "
    "added. Scale: the activation is multiplied. Ablate: it becomes 0."
)
SCOPE = "The tokens that are edited: the image's, the prompt's words, those generated, or all."
FORM = (
    "Keep the rest: only the features' part of the activations changes, what the SAE does not "
    "explain stays. Replace: the SAE's reconstruction with the edits takes the activations' place, "
    "as Pach et al. steer."
)
STRENGTH = (
    "Times the largest activation of the feature over the val images: 1 is as strong as the image "
    "that shows it most."
)
FACTOR = "What the activation is multiplied by: 1 changes nothing, 0 turns the feature off."
SWEPT = {
    "share": "Of every strength of the setting: 1 is the setting itself.",
    "factor": FACTOR, "× max": STRENGTH,
}  # fmt: skip
CONCEPT = (
    "The prompt-only baseline asks for this in words: “Say that there is … in it.” Empty: it is "
    "left out."
)
LONGEST = "Tokens of an answer at most."
TEMPERATURE = "0: the likeliest token each time. Above: tokens are drawn, alike in all columns."
SEED = "Of what chance decides; only above temperature 0."
SWEEP = (
    "The same at nine strengths from 0 to those above, in one batch: every strength, a direction's "
    "too, is taken at the same share, with its sign."
)
SHOWS = (
    "Cosine of the text's embedding to the mean embedding of the feature's 16 top images, by the "
    "run's contrastive encoder {}; the dashed line is the unsteered text's."
)
NO_SHOWS = (
    "How strongly the concept shows needs a contrastive encoder in the run, which embeds words "
    "too: name one under encoders. Here is whether the text names the feature's label."
)
NOTHING_CHANGED = (
    "This edit changes nothing that the language model reads: of a vision layer behind the one "
    "that it takes its image tokens from, or of a feature that is already so. Choose an earlier "
    "layer, another feature or another strength."
)
NOT_STEERABLE = "Neurons and dictionaries whose SAE is not in the bundle cannot be steered: {}."
HISTORY = "What you ran in this visit; press one to see it again, with its setting."
RECORD = (
    "The setting, the answers with their tokens and chances, and the versions of all behind it."
)
EMPTY = (
    "Choose a feature, set how strongly it fires, and press Run: the model answers unsteered, with "
    "the SAE's reconstruction alone, and steered, side by side. These features are a start:"
)
PRESETS = "labelled features, {}"
BLANK = "A grey picture, in which there is nothing to see."
STEERABLE = "Where the feature is: SAEs that the bundle holds."
NOTHING_STEERABLE = (
    "No feature of this model can be steered: it has no SAE in the bundle. Copy the SAEs into the "
    "bundle's folder saes/, or train one with: python -m pipeline run CONFIG"
)
STOPPED = "Stopped: what was said so far stays."
STOPPED_EARLY = "Stopped before the first word: press Run to ask again."
OTHER_SETTING = "These answers are of another setting: {}. Press Run for the one above."
OTHER_PICTURE = "These answers are of another picture: {}. Press Run for the one above."
GONE_PICTURE = (
    "These answers are of a picture that you gave, {}, which is no longer on the page: the one "
    "above is another. Give it again to ask about it."
)
ALONG = (
    "Edit the activations along a direction: the way from one class of images to another, from one "
    "text to another, or a vector of yours, such as a probe's."
)
ALONG_KINDS = (
    "Add: every token in scope is moved along the direction by the same length, as Line of Sight "
    "edits from A to B. From A to B: what lies along A is taken out and as much put along B. "
    "Project out: nothing is left along the direction."
)
ALONG_SOURCES = (
    "Classes: the mean activations of up to 64 val images with a tag or class, of two classes "
    "those of one alone; features: of their top images; texts: the mean activations of the words, "
    "read without an image, or in a joint space their vectors; a file: a vector in .npy or "
    ".safetensors. One end alone is set off from up to 64 images, or texts, that stand for all."
)
VECTOR_FILE = (
    "One vector as wide as the hook point, .npy or .safetensors, at most 20 MB. Nothing in it is "
    "run. This server keeps it for a while: a link to this page holds its name only."
)
DISTANCE = "In distances between the means of the two classes: 1 goes from the one to the other."
NORM = "In mean lengths of the activations of {}."
MOVE_SHARE = "The share of what lies along A that is taken out and put along B: 1 is all of it."
NEAR_DIRECTION = (
    "The features whose decoder rows lie nearest to the direction's line, with the cosine "
    "(negative: they point away), and the few whose weighted sum comes near the direction, by "
    "orthogonal matching pursuit."
)
STEER_KEPT = (
    "Cosine of the image's embedding before and after: 1 is no change. Far below the cosines of "
    "one image to another below, the edit has left what images look like to the model."
)
STEER_REBUILT = (
    "The same with the SAE's reconstruction in place of the activations and no edit: what the SAE "
    "loses by itself."
)
STEER_EXPORT = "The setting and all that is shown, with every label; strengths in the model's unit."
ZERO_SHOT = (
    "How well each label fits the image, by the model's own text tower and its own logit scale: "
    "over all labels together (CLIP), or each by itself (SigLIP). Sorted by how much they change."
)
LABEL_SET = (
    "What the model chooses between, at most 64, and so what the probabilities are over. Tags like "
    "the feature's: those that are on images together with it, and with one another, more seldom "
    "than by chance, as one colour with another. Over all tags a colour competes with shapes and "
    "places too, which are as true of the image, and shifts look small. Or the words that features "
    "carry, or your own."
)
OVER_ALL = "The probabilities are over these {} labels and add up to 1."
OVER_EACH = "Each of these {} labels has its probability by itself."
TEMPLATE = "The sentence in which a label is read; {} stands for it."
NEAREST_IMAGES = (
    "The val images whose embedding is nearest to the image's, before and after; the image itself "
    "is left out."
)
NEAREST_CAPTIONS = (
    "The captions of val images, by the model's own text tower, whose embedding is nearest to the "
    "image's, before and after."
)
CHANGED_WORDS = "Words that the unsteered text does not have there."
