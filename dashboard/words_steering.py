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
CONCEPT = (
    "The prompt-only baseline asks for this in words: “Say that there is … in it.” Empty: it is "
    "left out."
)
LONGEST = "Tokens of an answer at most."
TEMPERATURE = "0: the likeliest token each time. Above: tokens are drawn, alike in all columns."
SEED = "Of what chance decides; only above temperature 0."
SWEEP = (
    "The same over nine strengths from 0 up, in one batch. With several features all stand at the "
    "same multiple of their largest activation."
)
SHOWS = (
    "Cosine of the text's embedding to the mean embedding of the feature's 16 top images, by the "
    "run's contrastive encoder {}; the dashed line is the unsteered text's."
)
NO_SHOWS = (
    "How strongly the concept shows needs a contrastive encoder in the run, which embeds words "
    "too: name one under encoders. Here is whether the text names the feature's label."
)
SWEPT_PERPLEXITY = "Perplexity of the text for the unsteered model; the line is its own text's."
NOTHING_CHANGED = (
    "This edit changes nothing that the language model reads: of a vision layer behind the one "
    "that it takes its image tokens from, or of a feature that is already so. Choose an earlier "
    "layer, another feature or another strength."
)
NOT_STEERABLE = "Neurons and dictionaries whose SAE is not in the bundle cannot be steered: {}."
HISTORY = "What you ran in this visit; press one to see it again, with its setting."
RECORD = "The setting, the answers with their tokens and chances, and the versions of all behind it."
EMPTY = (
    "Choose a feature, set how strongly it fires, and press Run: the model answers unsteered, with "
    "the SAE's reconstruction alone, and steered, side by side. These features are a start:"
)
PRESETS = "Labelled features of the language model, {}."
BLANK = "A grey picture, in which there is nothing to see."
STEERABLE = "Where the feature is: SAEs that the bundle holds."
NOTHING_STEERABLE = (
    "No feature of this model can be steered: it has no SAE in the bundle. Copy the SAEs into the "
    "bundle's folder saes/, or train one with: python -m pipeline run CONFIG"
)
STOPPED = "Stopped: what was said so far stays."
OTHER_SETTING = "These answers are of another setting: {}. Press Run for the one above."
