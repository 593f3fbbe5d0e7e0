"""Features in the shape of Neuronpedia's data, as far as images have a place in it.

The names are those of its public schema (the models Neuron, Activation and Explanation of
apps/webapp/prisma/schema.prisma in github.com/hijohnnylin/neuronpedia) and the folders those of
its exports (docs.neuronpedia.org/api-and-data/exports). What has no counterpart is in `loupe`, a
name that Neuronpedia does not know, or left empty: docs/exports.md says which is which.
"""

import gzip
import io
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dashboard.exports.document import image, json_bytes
from dashboard.records import columns
from dashboard.records.captions import TopCaption
from dashboard.records.features import AutoLabel, Key, Said, Top
from dashboard.records.profile import Profile

BATCH = 1024
"""Features in one file of an export."""
LABELLED, NAMED = "loupe_top-tag", "loupe_{kind}"
"""Types of explanations: the tag that marks out the top images, and the kinds of other names."""
ABOVE_CHANCE, TELLS = "loupe_share-above-chance", "loupe_tells-auroc"
"""What their scores are."""
LABEL = "label"
"""The kind of what people say that is an explanation."""
EMPTY = (
    "neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1",
    "correlated_neurons_indices", "correlated_neurons_pearson", "correlated_neurons_l1",
    "correlated_features_l1", "neg_str", "neg_values", "pos_str", "pos_values",
    "logits_hist_data_bar_heights", "logits_hist_data_bar_values", "decoder_weights_dist", "vector",
)  # fmt: skip
"""Fields about words and weights, of which a bundle's tables say nothing."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: equal features make equal bytes."""


def neuronpedia_json(profile: Profile, *, said: Sequence[Said] = ()) -> bytes:
    """The feature as Neuronpedia's API gives one: a Neuron with its activations and explanations
    inside. UTF-8 JSON."""
    whole = neuron(profile) | {
        "activations": activations(profile),
        "explanations": explanations(profile, said),
    }
    return json_bytes(whole, indent=1)


def neuronpedia_zip(
    profiles: Sequence[Profile], *, said: Mapping[Key, Sequence[Said]] | None = None
) -> bytes:
    """Features as Neuronpedia exports many: a ZIP of `MODEL/SOURCE/KIND/batch-N.jsonl.gz`, one
    object a line, where KIND is `features`, `activations` or `explanations`."""
    sources: dict[tuple[str, str], list[Profile]] = {}
    for profile in profiles:
        sources.setdefault(source(profile), []).append(profile)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for (model, layer), members in sorted(sources.items()):
            for start in range(0, len(members), BATCH):
                some = members[start : start + BATCH]
                kinds = {
                    "features": [neuron(p) for p in some],
                    "activations": [a for p in some for a in activations(p)],
                    "explanations": [
                        e for p in some for e in explanations(p, (said or {}).get(p.key, ()))
                    ],
                }
                for kind, rows in kinds.items():
                    lines = b"".join(json_bytes(row) + b"\n" for row in rows)
                    name = f"{model}/{layer}/{kind}/batch-{start // BATCH}.jsonl.gz"
                    entry = zipfile.ZipInfo(name, EPOCH)
                    archive.writestr(entry, gzip.compress(lines, mtime=0))
    return buffer.getvalue()


def source(profile: Profile) -> tuple[str, str]:
    """(modelId, layer): names in Neuronpedia's alphabet, the layer's number first, as in
    `3-vision-resid_post-matryoshka`; behind the last layer the hook point's depth."""
    one = profile.dictionary
    number = re.search(r"\.(\d+)\.", one.hook)
    hook = re.sub(r"\.(\d+)(?=\.)", "", one.hook)
    layer = number[1] if number else one.depth
    return _slug(one.model).lower(), f"{layer}-{_slug(hook)}-{_slug(one.name)}"


def neuron(profile: Profile) -> dict[str, Any]:
    """The row of `features`."""
    card, one = profile.feature.card, profile.feature
    near = {
        kind: [n for n in profile.neighbors if n.kind == kind]
        for kind in ("decoder", "correlation")
    }
    # Theirs starts with the feature itself, and readers drop the first.
    itself = ([card.feature_id], [1.0]) if near["decoder"] else ([], [])
    middles = [(low + high) / 2 for low, high in zip(one.edges, one.edges[1:], strict=False)]
    place = profile.place or (None, None)
    return _identity(profile) | {
        "sourceSetName": source(profile)[1].partition("-")[2],
        "hookName": profile.dictionary.hook,
        "maxActApprox": card.max,
        "frac_nonzero": card.density,
        "freq_hist_data_bar_heights": one.counts,
        "freq_hist_data_bar_values": middles,
        "topkCosSimIndices": itself[0] + [n.card.feature_id for n in near["decoder"]],
        "topkCosSimValues": itself[1] + [n.score for n in near["decoder"]],
        "correlated_features_indices": [n.card.feature_id for n in near["correlation"]],
        "correlated_features_pearson": [n.score for n in near["correlation"]],
        "umap_x": place[0],
        "umap_y": place[1],
        "hasVector": False,
        **{name: [] for name in EMPTY},
        "loupe": {
            "dictionary_id": card.dictionary_id, "n_active": card.n_active, "mean": card.mean,
            "ms": card.ms, "ms_percentile": card.ms_percentile,
            "ms_judged_by_itself": profile.dictionary.ms_judged_by_itself,
            "modality": profile.modality and asdict(profile.modality),
            "steering_score": card.steering_score, "steers": card.steers,
            **{n: v for n, v in card.more.items() if columns.named(n).exported},
            "token_density": profile.artefacts and profile.artefacts.token_density,
            "matches": [
                {"dictionary_id": m.card.dictionary_id, "index": str(m.card.feature_id),
                 "correlation": m.score} for m in profile.matches
            ],
        },
    }  # fmt: skip


def activations(profile: Profile) -> list[dict[str, Any]]:
    """The rows of `activations`: one a top image and one a top caption, the strongest first."""
    images = [_activation(profile, top) for top in profile.feature.top]
    return images + [_spoken(profile, one) for one in profile.captions]


def explanations(profile: Profile, said: Sequence[Said] = ()) -> list[dict[str, Any]]:
    """The rows of `explanations`: the automatic label, other automatic names and people's labels;
    a label that is one of the names is there once, as that name."""
    card = profile.feature.card
    made: list[tuple[str, str, str | None, float | None, str]] = []
    if card.label is not None and not any(_is_label(profile, name) for name in profile.names):
        made.append((card.label, LABELLED, None, card.label_score, ABOVE_CHANCE))
    made += [
        (one.label, NAMED.format(kind=one.kind), None, one.tells, TELLS) for one in profile.names
    ]
    made += [(one.text, "human", one.author, None, "") for one in said if one.kind == LABEL]
    return [
        _identity(profile) | {
            "description": text, "typeName": kind, "explanationModelName": None,
            "authorId": author, "scores": [] if score is None else [
                {"value": score, "explanationScoreTypeName": score_kind}
            ],
        }
        for text, kind, author, score, score_kind in made
    ]  # fmt: skip


def _is_label(profile: Profile, name: AutoLabel) -> bool:
    """Whether the feature's label is this name: where no image has tags it is the first word, and
    its score twice what that tells, less 1."""
    card = profile.feature.card
    if (name.kind, name.rank, name.label) != ("word", 1, card.label):
        return False
    if card.label_score is None or name.tells is None:
        return card.label_score is None and name.tells is None
    return math.isclose(card.label_score, max(0.0, 2 * name.tells - 1), abs_tol=1e-5)


def _activation(profile: Profile, top: Top) -> dict[str, Any]:
    tokens, values = _patches(profile, top)
    most = max(range(len(values)), key=values.__getitem__)
    known = image(profile, top.example_id)
    return _identity(profile) | {
        "tokens": tokens, "values": values,
        "maxValue": values[most], "maxValueTokenIndex": most, "minValue": min(values),
        "dataIndex": known["uri"], "dataSource": None,
        "loupe": {
            "modality": "image", "rank": top.rank, "activation": top.activation,
            "example_id": top.example_id,
            "grid": profile.dictionary.grid if len(values) > 1 else None, "image": known,
        },
    }  # fmt: skip


def _spoken(profile: Profile, one: TopCaption) -> dict[str, Any]:
    """A caption as its tokens with their activations; one token where the model makes one vector
    of it."""
    tokens, values = list(one.pieces), [0.0] * len(one.pieces)
    for token, act in zip(one.tokens, one.token_acts, strict=True):
        values[token] = act
    if one.token is None or not tokens:
        tokens, values = [one.text], [one.activation]
    most = max(range(len(values)), key=values.__getitem__)
    known = image(profile, one.example_id)
    return _identity(profile) | {
        "tokens": tokens, "values": values,
        "maxValue": values[most], "maxValueTokenIndex": most, "minValue": min(values),
        "dataIndex": known["uri"], "dataSource": None,
        "loupe": {
            "modality": "text", "rank": one.rank, "activation": one.activation,
            "example_id": one.example_id, "caption_id": one.caption_id, "grid": None,
            "image": known,
        },
    }  # fmt: skip


def _patches(profile: Profile, top: Top) -> tuple[list[str], list[float]]:
    """Every patch in reading order with its activation; the CLS token before them where it is what
    the dictionary reads; the whole image as one token where there is no heat map."""
    grid = profile.dictionary.grid
    if grid is None or not top.patches:
        return ["Image"], [top.activation]
    cells = grid[0] * grid[1]
    tokens, values = [f"Image_patch_{i + 1}" for i in range(cells)], [0.0] * cells
    for patch, act in zip(top.patches, top.patch_acts, strict=True):
        if patch < cells:
            values[patch] = act
    if profile.dictionary.tokens == "cls":
        return ["CLS", *tokens], [top.activation, *values]
    return tokens, values


def _identity(profile: Profile) -> dict[str, Any]:
    model, layer = source(profile)
    return {"modelId": model, "layer": layer, "index": str(profile.feature.card.feature_id)}


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "unnamed"
