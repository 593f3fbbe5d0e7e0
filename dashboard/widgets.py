"""What pages are made of: the one feature card, numbers as text, bars, pictures, messages."""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import palette, state, words
from dashboard.modality import Spoken
from dashboard.numbers import number, percent, steering_text, unlabelled
from dashboard.records import (
    Artefacts,
    AutoLabel,
    Card,
    Dictionary,
    Example,
    Related,
    Sample,
    Score,
    Top,
)
from dashboard.sheets import data_uri

CARD_HELP = {"ms": words.MS, "density": words.DENSITY}
RELATED = {"decoder": "cosine", "jaccard": "overlap", "correlation": "correlation"}
MOST_IN_SIGHT = 8
JOINER = "\u2060"
"""Shows as nothing and joins what it stands between; no address, icon or arrow has one in it. What
is copied has it too, so that it stands in these alone."""
APART = re.compile(
    r":(?=//|material/|[\w+-]+[:\[])|@(?=\w)|www(?=\.)"
    r"|(?<!\S)(?=(?:<->|<-|->|>=|<=|~=)(?!\S))[<>~-]",
    re.IGNORECASE,
)
"""Behind these Streamlit's Markdown, after it has read escapes, looks for addresses, icons, emoji,
colours and arrows. (It makes one dash of two between blanks: those stand in commands, to be
copied.)"""
MARKUP = re.compile(
    r"[\\`*\[\]<>|~:$&]|(?<![^\W_])_|_(?![^\W_])|^[#+=-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]"
)
"""What could start an image, a link, a formula, emphasis, a list or other markup."""


T = TypeVar("T")


def plain(text: str) -> str:
    """`text` so that Streamlit's Markdown shows it as it is, in one line: no image, link, icon,
    formula or other markup. For messages, labels and the options of pills and segments; those of
    selections are plain by themselves."""
    line = re.sub(r"[^\S \u00a0]+", " ", text).strip(" ")
    return MARKUP.sub(r"\\\g<0>", APART.sub(rf"\g<0>{JOINER}", line))


def segments(label: str, options: Sequence[T], *, default: T, **more: Any) -> T:
    """One of some options, always; `more` as of `st.segmented_control`. A browser may say that none
    is chosen, whatever `required` has it do."""
    chosen = st.segmented_control(label, options, default=default, required=True, **more)
    return default if chosen is None else chosen


def badge(text: str, *, about: str) -> None:
    """A small label of plain text, explained on hover."""
    st.badge(plain(text).replace("\\[", "[").replace("\\]", "]"), color="blue", help=plain(about))


def images(count: int) -> str:
    """A least number of images; 0 takes in dead features."""
    return f"{count:,} image" + ("" if count == 1 else "s")


def sides(score: float | None) -> dict[str, Any]:
    """A modality score as the bar from words to pictures takes it."""
    return {
        "value": score, "text": number(score), "help": words.MODALITY_SCORE,
        "colours": [palette.IMAGE, palette.TEXT],
    }  # fmt: skip


def card(
    one: Card, dictionary: Dictionary, sheet: str | None, *, spoken: Spoken | None = None
) -> dict[str, Any]:
    """The feature card's data, the same wherever a card is shown; with `spoken` it shows that
    caption in place of the sheet, and how many captions activate the feature."""
    href = state.to_feature(one.dictionary_id, one.feature_id)
    bare = unlabelled(one, spoken=spoken is not None)
    said = f"{dictionary.short} #{one.feature_id}, {one.label or bare}"
    score = one.modality_score
    known = "" if score is None else f", modality {number(score)}"
    density, about = f"density {percent(one.density)}", CARD_HELP
    shown = percent(one.density)
    if spoken is not None:
        shown, about = percent(spoken.density), CARD_HELP | {"density": words.TEXT_DENSITY}
        density, sheet = f"density on captions {shown}", None
    return {
        "id": one.feature_id, "href": href, "where": dictionary.short,
        "key": state.feature_key(one.dictionary_id, one.feature_id),
        "name": f"{said}, MS {number(one.ms)}, {density}{known}",
        "label": one.label, "unlabelled": bare, "ms": one.ms, "msText": number(one.ms),
        "density": shown, "sheet": sheet, "spoken": spoken and spoken.text, "help": about,
        "sides": None if score is None else sides(score),
        "steering": steering_text(one) and {
            "text": f"steering {steering_text(one)}",
            "help": f"{words.STEERING_SCORE} {words.STEERS}",
        },
    }  # fmt: skip


def row(
    one: Card, dictionary: Dictionary, sheet: str | None, *, spoken: Spoken | None = None
) -> dict[str, Any]:
    """The same as a row of a table, by Browse's columns."""
    made = card(one, dictionary, sheet, spoken=spoken)
    if spoken is not None:  # not of images, as the column's head says
        made["density"] = {"text": made["density"], "help": made["help"]["density"]}
    return made | {
        "first": False, "id": f"{dictionary.short} #{one.feature_id}",
        "label": one.label or made["unlabelled"], "ms": {"value": one.ms, "text": made["msText"]},
        "active": f"{one.n_active:,}", "max": number(one.max), "mean": number(one.mean),
        "score": number(one.label_score) if one.label else "", "steering": steering_text(one),
        "pairs": "" if one.pair_correlation is None else number(one.pair_correlation),
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
    texts = dict(words.FLAG_NAMES)
    if found is not None and found.twin is not None:
        texts["duplicate"] = f"duplicate of #{found.twin}"
    chips = "".join(
        f'<span class="flag" title="{html.escape(words.FLAGS[n])}">{texts.get(n, n)}</span>'
        for n in names
    )
    if chips:
        st.html(f'<div class="flags"><span>may be an artefact:</span>{chips}</div>')


def strips(
    drawn: Sequence[Sample], known: Mapping[int, Example], pictures: Mapping[int, bytes]
) -> list[dict[str, Any]]:
    """Rows of small images, a kind of sample each, as the component `strips` takes them."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in drawn:
        example, picture = known.get(one.example_id), pictures.get(one.example_id)
        caption = example.captions[0][:400] if example and example.captions else ""
        rows.setdefault(one.kind, []).append(
            {
                "src": picture and data_uri(picture), "text": number(one.activation),
                "caption": caption or (example.uri if example else "an image"),
            }
        )  # fmt: skip
    return [{"name": name, "images": images} for name, images in rows.items()]


def feature_head(one: Card, dictionary: Dictionary, *, spoken: bool) -> dict[str, Any]:
    """The head of Feature as the component `featurebar` takes it; `spoken`: as of `flags`."""
    href = state.to_browse(dictionary)
    here = state.to_feature(one.dictionary_id, one.feature_id)
    steerable = dictionary.basis == "sae"
    of = f"of {dictionary.n_examples:,} val images"
    facts = [
        ("density", percent(one.density), words.DENSITY),
        ("active on", f"{one.n_active:,} {of}", words.ACTIVE),
        ("mean", number(one.mean), words.MEAN),
        ("max", number(one.max), words.MAX),
    ]
    if one.group is not None:
        facts.append(("level", str(one.group + 1), words.LEVEL))
    rank = None if one.ms_percentile is None else f"percentile {one.ms_percentile * 100:.0f}"
    return {
        "id": one.feature_id, "count": dictionary.d_sae, "where": dictionary.short, "href": href,
        "here": here, "label": one.label, "labelScore": one.label and number(one.label_score),
        "steer": state.to_steering([(one.dictionary_id, one.feature_id)]) if steerable else None,
        "unlabelled": unlabelled(one, spoken=spoken),
        "ms": one.ms, "msText": number(one.ms), "percentile": rank,
        "facts": [{"name": n, "text": t, "help": h} for n, t, h in facts],
        "help": {"ms": words.MS, "label": words.LABEL, "percentile": words.PERCENTILE},
    }  # fmt: skip


def top_images(
    top: Sequence[Top],
    known: Mapping[int, Example],
    pictures: Mapping[int, bytes],
    *,
    whole: bool = False,
) -> list[dict[str, Any]]:
    """The top images as the component `topimages` takes them; `whole` where the patches cover all
    of a picture and not the square that is shown."""
    images = [_image(one, known.get(one.example_id), pictures.get(one.example_id)) for one in top]
    for image, one in zip(images, top, strict=True):
        example = known.get(one.example_id)
        image["aspect"] = example.aspect if whole and example else 1.0
    return images


def _image(one: Top, example: Example | None, picture: bytes | None) -> dict[str, Any]:
    details = [f"activation {number(one.activation, 3)}, rank {one.rank}"]
    if example and example.label:
        details.append(f"class {example.label}")
    if example and example.tags:
        details.append("tags: " + ", ".join(example.tags[:24]))
    return {
        "rank": one.rank, "text": number(one.activation), "details": details,
        "src": picture and data_uri(picture), "name": example.uri if example else "an image",
        "href": state.to_image(one.example_id) if example else None,
        "caption": example.captions[0][:400] if example and example.captions else None,
        "patches": one.patches, "acts": [round(a, 5) for a in one.patch_acts],
    }  # fmt: skip


def score_bars(scores: Sequence[Score]) -> list[dict[str, Any]]:
    """MS per encoder with both controls as marks, as the component `bars` takes them."""
    kinds = (("random neuron", palette.CONTROL), ("random direction", palette.NEURONS))
    rows = []
    for one in scores:
        values = (one.control_neuron, one.control_direction)
        marks = [
            {"at": at, "name": name, "colour": colour}
            for at, (name, colour) in zip(values, kinds, strict=True)
            if at is not None
        ]
        name = f"{one.encoder} (default)" if one.is_default and len(scores) > 1 else one.encoder
        name += ", the model itself" if one.judges_itself else ""
        rows.append({"name": name, "value": one.ms, "text": number(one.ms), "marks": marks})
    return rows


def name_bars(names: Sequence[AutoLabel]) -> list[dict[str, Any]]:
    """Automatic labels by how well each tells the feature's images from others."""
    chance = [{"at": 0.5, "name": "chance", "colour": palette.CONTROL}]
    rows = []
    for one in sorted(names, key=lambda n: (n.kind != "model", -(n.tells or 0.0))):
        share = f", {percent(one.value)} of the top images" if one.kind == "class" else ""
        name = f"{one.label} ({words.NAME_KINDS.get(one.kind, one.kind)}{share})"
        known = one.tells is not None
        rows.append({"name": name, "value": one.tells, "text": number(one.tells),
                     "marks": chance if known else []})  # fmt: skip
    return rows


def tag_bars(
    known: Sequence[Example], rates: Mapping[str, float], *, most: int = 6
) -> list[dict[str, Any]]:
    """The tags that mark out `known`: their share there, with their share of all as a mark."""
    counts: dict[str, int] = {}
    for example in known:
        for tag in example.tags:
            counts[tag] = counts.get(tag, 0) + 1
    share = {tag: count / len(known) for tag, count in counts.items()}
    marked = sorted(share, key=lambda tag: (rates.get(tag, 0.0) - share[tag], tag))[:most]
    return [
        {
            "name": tag, "value": share[tag], "text": percent(share[tag]),
            "marks": [{"at": rates.get(tag, 0.0), "name": "share of all images",
                       "colour": palette.CONTROL}],
        }
        for tag in marked
    ]  # fmt: skip


def sparkline(every: Sequence[int], passed: Sequence[int], *, name: str) -> None:
    """Small columns: all features in grey, those that pass the filter in the accent."""
    unit = 36 / max([1, *every])
    columns = "".join(
        f'<i style="height:{unit * grey:.1f}px"><b style="height:{unit * on:.1f}px"></b></i>'
        for grey, on in zip(every, passed, strict=True)
    )
    st.html(f'<div class="spark" role="img" aria-label="{html.escape(name)}">{columns}</div>')


def section(title: str, about: str) -> None:
    """The heading of a part of a page, explained on hover."""
    st.html(f'<h2 class="section" title="{html.escape(about)}">{html.escape(title)}</h2>')


def heading(title: str, about: str = "") -> None:
    """A page's heading with a quiet line below; both are shown as plain text."""
    line = f"<p>{html.escape(about)}</p>" if about else ""
    with st.container(key="heading"):
        st.html(f'<div class="heading"><h1>{html.escape(title)}</h1>{line}</div>')


def paragraphs(text: str) -> None:
    """Text as it was written, in paragraphs where it has blank lines, and in its lines."""
    parts = (html.escape(part.strip("\n")) for part in re.split(r"\n\s*\n", text.strip()))
    st.html("".join(f'<p class="told">{part}</p>' for part in parts if part))


def figures(facts: Sequence[tuple[str, str, str]]) -> None:
    """A row of (name, number, explanation)."""
    items = "".join(
        f'<div title="{why}"><dt>{name}</dt><dd>{text}</dd></div>'
        for name, text, why in (map(html.escape, fact) for fact in facts)
    )
    st.html(f'<dl class="figures">{items}</dl>')


def line_legend(groups: Mapping[str, Sequence[tuple[str, str, str]]]) -> None:
    """What the lines of the charts below mean, by what they show: (name, colour, `solid` or
    `dashed`); the points on dashed ones are hollow."""
    items = ""
    for title, lines in groups.items():
        items += f"<b>{html.escape(title)}</b>" + "".join(
            f'<span class="{style}" style="--colour: {colour}; --style: {style}"><i></i>'
            f"{html.escape(name)}</span>"
            for name, colour, style in lines
        )
    st.html(f'<div class="line-legend">{items}</div>')


def run_picker(names: Sequence[str]) -> None:
    """Which of several runs is shown."""
    with st.container(key="run-picker"):
        st.selectbox("run", names, **state.shared(state.RUN), label_visibility="collapsed")


def refused(message: str) -> None:
    """One clear message in place of the pages."""
    st.error(plain(message))


def panelled(key: str, title: str) -> tuple[DeltaGenerator, DeltaGenerator]:
    """A narrow panel for choices, folded away on a phone, and the room beside it."""
    phone = "Mobi" in st.context.headers.get("User-Agent", "")
    with st.container(key=f"{key}-split", horizontal=True, wrap=False, gap="medium"):
        with st.container(key=f"{key}-panel", width=250):
            panel = st.expander(title, expanded=not phone)
        room = st.container(key=f"{key}-room")
    return panel, room


def warn_once(line: str, warned: set[str]) -> None:
    """A warning, unless it stands on the page already."""
    if line not in warned:
        warned.add(line)
        st.warning(plain(line))


def notice(lines: Sequence[str]) -> None:
    """What to know before reading on, a line each; nothing without lines."""
    if lines:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        st.html(f'<div class="notices" role="note"><ul>{items}</ul></div>')


def empty(message: str) -> None:
    """An empty state: what is not there, and what to do next."""
    st.html(f'<p class="empty">{html.escape(message)}</p>')
