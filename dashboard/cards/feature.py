"""The feature card, its row in a table, and the head of its page: data for the components."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import address
from dashboard.records import columns
from dashboard.records.captions import Spoken
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Artefacts, Card
from dashboard.records.matches import Related
from dashboard.style import hints, palette
from dashboard.style.numbers import (
    fact_of,
    number,
    percent,
    steering_text,
    text_of,
    unlabelled,
)

CARD_HELP = {"ms": hints.MS, "density": hints.DENSITY}
RELATED = {"decoder": "cosine", "jaccard": "overlap", "correlation": "correlation"}


def sides(score: float | None) -> dict[str, Any]:
    """A modality score as the bar from words to pictures takes it."""
    return {
        "value": score, "text": number(score), "help": hints.MODALITY_SCORE,
        "colours": [palette.IMAGE, palette.TEXT],
    }  # fmt: skip


def card(
    one: Card, dictionary: Dictionary, sheet: str | None, *, spoken: Spoken | None = None
) -> dict[str, Any]:
    """The feature card's data, the same wherever a card is shown; with `spoken` it shows that
    caption in place of the sheet, and how many captions activate the feature."""
    href = address.to_feature(one.dictionary_id, one.feature_id)
    bare = unlabelled(one, spoken=spoken is not None)
    said = f"{dictionary.short} #{one.feature_id}, {one.label or bare}"
    score = one.modality_score
    known = "" if score is None else f", modality {number(score)}"
    density, about = f"density {percent(one.density)}", CARD_HELP
    shown = percent(one.density)
    if spoken is not None:
        shown, about = percent(spoken.density), CARD_HELP | {"density": hints.TEXT_DENSITY}
        density, sheet = f"density on captions {shown}", None
    return {
        "id": one.feature_id, "href": href, "where": dictionary.short,
        "key": address.feature_key(one.dictionary_id, one.feature_id),
        "name": f"{said}, MS {number(one.ms)}, {density}{known}",
        "label": one.label, "unlabelled": bare, "ms": one.ms, "msText": number(one.ms),
        "density": shown, "sheet": sheet, "spoken": spoken and spoken.text, "help": about,
        "sides": None if score is None else sides(score),
        "steering": steering_text(one) and {
            "text": f"steering {steering_text(one)}",
            "help": columns.about("steering_score"),
        },
    }  # fmt: skip


def row(
    one: Card, dictionary: Dictionary, sheet: str | None, *, spoken: Spoken | None = None
) -> dict[str, Any]:
    """The same as a row of a table, by Browse's columns."""
    made = card(one, dictionary, sheet, spoken=spoken)
    if spoken is not None:  # not of images, as the column's head says
        made["density"] = {"text": made["density"], "help": made["help"]["density"]}
    texts = {column.key: text_of(column, one) for column in columns.tabled()}
    return texts | made | {
        "first": False, "id": f"{dictionary.short} #{one.feature_id}",
        "label": one.label or made["unlabelled"], "ms": {"value": one.ms, "text": made["msText"]},
        "score": number(one.label_score) if one.label else "", "steering": texts["steering"],
    }  # fmt: skip


def related(
    near: Sequence[Related], dictionaries: Mapping[str, Dictionary], sheets: Sequence[str]
) -> list[dict[str, Any]]:
    """Cards of features that stand near one, each with how near."""
    made = []
    for one, sheet in zip(near, sheets, strict=True):
        overlap = "" if one.overlap is None else f", images {percent(one.overlap)}"
        note = f"{RELATED.get(one.kind, 'correlation')} {number(one.score)}{overlap}"
        made.append(card(one.card, dictionaries[one.card.dictionary_id], sheet) | {"note": note})
    return made


def flags(found: Artefacts | None, *, spoken: bool) -> None:
    """The artefact flags that are up, each explained on hover; nothing where there are none.
    `spoken`: captions activate the feature."""
    names = found.raised(spoken=spoken) if found is not None else []
    texts = dict(hints.FLAG_NAMES)
    if found is not None and found.twin is not None:
        texts["duplicate"] = f"duplicate of #{found.twin}"
    chips = "".join(
        f'<span class="flag" title="{html.escape(hints.FLAGS[n])}">{texts.get(n, n)}</span>'
        for n in names
    )
    if chips:
        st.html(f'<div class="flags"><span>may be an artefact:</span>{chips}</div>')


def feature_head(one: Card, dictionary: Dictionary, *, spoken: bool) -> dict[str, Any]:
    """The head of Feature as the component `featurebar` takes it; `spoken`: as of `flags`."""
    href = address.to_browse(dictionary)
    here = address.to_feature(one.dictionary_id, one.feature_id)
    steerable = dictionary.basis == "sae"
    facts = [(c, fact_of(c, one, of=dictionary.n_examples)) for c in columns.heading()]
    rank = None if one.ms_percentile is None else f"percentile {one.ms_percentile * 100:.0f}"
    return {
        "id": one.feature_id, "count": dictionary.d_sae, "where": dictionary.short, "href": href,
        "here": here, "label": one.label, "labelScore": one.label and number(one.label_score),
        "steer": address.to_steering([(one.dictionary_id, one.feature_id)]) if steerable else None,
        "unlabelled": unlabelled(one, spoken=spoken),
        "ms": one.ms, "msText": number(one.ms), "percentile": rank,
        "facts": [{"name": c.short, "text": t, "help": c.about} for c, t in facts if t],
        "help": {"ms": hints.MS, "label": hints.LABEL, "percentile": hints.PERCENTILE},
    }  # fmt: skip


def sparkline(every: Sequence[int], passed: Sequence[int], *, name: str) -> None:
    """Small columns: all features in grey, those that pass the filter in the accent."""
    unit = 36 / max([1, *every])
    columns = "".join(
        f'<i style="height:{unit * grey:.1f}px"><b style="height:{unit * on:.1f}px"></b></i>'
        for grey, on in zip(every, passed, strict=True)
    )
    st.html(f'<div class="spark" role="img" aria-label="{html.escape(name)}">{columns}</div>')
