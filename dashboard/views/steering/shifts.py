"""What steering changes for a contrastive model: labels, nearest images, nearest captions."""

import dataclasses
import html
import json
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboard import address, gate, queries
from dashboard.bundle import cached
from dashboard.bundle.opening import Run
from dashboard.cards.contact_sheets import data_uri
from dashboard.components.strips import strips
from dashboard.live import images, models
from dashboard.page import downloads, furniture
from dashboard.steering import (
    answers,
    direction_names,
    hints,
    image_embeddings,
    label_charts,
    request,
)
from dashboard.steering.joint_space import NEAREST, WAYS, Among, Labels, Seen, new, rivals
from dashboard.steering.joint_space import shifts as shifted
from dashboard.steering.request import Asked
from dashboard.style import markdown
from dashboard.style.numbers import number
from dashboard.views.steering.form import Form

MOST_TIMES = 10.0
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""Of the setting's strengths, in a sweep."""
AXES = {
    "share": "share of the setting's strengths", "factor": "factor",
    "× max": "strength, times the feature's max",
}  # fmt: skip
MOST_BARS, MOST_LINES, MOST_LEFT_OUT = 10, 6, 8
SETS = {"like": "Tags like", "tags": "All tags", "names": "Words of features", "own": "Your own"}


def show(run: Run, model: str, form: Form, look: images.Look) -> None:
    """The image under the setting, live."""
    assert look.picture is not None
    asked, cards = form.asked, form.cards
    try:
        swept = _swept(asked)
        settings = [answers.setting_of(one, cards, "") for one in [asked, *swept.values()]]
        with st.spinner("Looking …"):
            one = image_embeddings.seen(run, model, look.picture, settings)
    except models.Unavailable as problem:
        furniture.warn_once(str(problem), form.warned)
        return
    if one.changed:
        st.warning(markdown.plain(one.changed))
    _head(asked, one, look)
    made: dict[str, Any] = {
        "model": model, "image": look.name, "example": look.example and look.example.example_id,
        "picture": look.picture.key, "setting": settings[0].model_dump(mode="json", include=_SAID),
        "strengths": "in the unit of the activations", "cosine": one.kept,
    }  # fmt: skip
    own = look.example.example_id if look.example else None
    _labels(run, model, form, one, list(swept), made)
    _images(run, model, one, own, made)
    _captions(run, model, one, own, made)
    st.download_button(
        "Export (JSON)",
        gate.while_open(lambda: json.dumps(made, indent=2, ensure_ascii=False).encode()),
        file_name=f"{downloads.file_name(run.name, model, 'steered')}.json",
        mime="application/json", on_click="ignore", key="contrast-export", help=hints.STEER_EXPORT,
    )  # fmt: skip


_SAID = {"features", "directions", "mode", "form"}
"""What of a setting concerns an image tower."""


def _swept(asked: Asked) -> dict[float, Asked]:
    """The settings of a sweep, by the share of the strengths; none where none has a strength."""
    return {share: asked.share(share) for share in SHARES} if asked.strong else {}


def _head(asked: Asked, one: Seen, look: images.Look) -> None:
    facts = [("cosine to unsteered", number(one.kept, 3), hints.STEER_KEPT)]
    if one.reconstruction is not None:
        cosine = float(one.unsteered @ one.reconstruction)
        facts.append(("reconstruction only", number(cosine, 3), hints.STEER_REBUILT))
    furniture.figures(facts)
    st.caption(markdown.plain(f"{look.name}{f' ({look.note})' if look.note else ''}"))
    if not asked.edits:
        st.caption(
            "Nothing is steered yet: choose a feature above, or a direction. Below is what the "
            "model makes of the image as it is."
        )


def _labels(
    run: Run,
    model: str,
    form: Form,
    one: Seen,
    shares: Sequence[float],
    made: dict[str, Any],
) -> None:
    furniture.section("Labels", hints.ZERO_SHOT)
    asked, cards = form.asked, form.cards
    own = next((card.label for key in asked.features if (card := cards.get(key))), None)
    names, template = _choose_labels(run, own or direction_names.leads_to(asked.along))
    if len(names) < 2:
        st.caption("Give at least two labels to choose between.")
        return
    try:
        labels = image_embeddings.labels(run, model, one.key, names, template)
    except models.Unavailable as problem:
        st.caption(markdown.plain(f"No labels: {problem}"))
        return
    if labels.unknown:
        listed = ", ".join(f"“{name}”" for name in labels.unknown[:MOST_LEFT_OUT])
        more = len(labels.unknown) - MOST_LEFT_OUT
        listed += f" and {more} more" if more > 0 else ""
        st.caption(markdown.plain(f"Left out, as the model does not know their words: {listed}."))
    if len(labels.names) < 2:
        st.caption("Give at least two labels that the model knows the words of.")
        return
    every = shifted(labels, one)
    made["template"], made["labels"] = template, [dataclasses.asdict(s) for s in every]
    top = every[:MOST_BARS]
    left, right = st.columns(2, gap="medium")
    with left:
        ways = [way for way in WAYS if way != WAYS[1] or one.reconstruction is not None]
        colours = dict(zip(WAYS, label_charts.COLOURS, strict=True))
        furniture.line_legend({"Probability": [(way, colours[way], "solid") for way in ways]})
        st.altair_chart(
            label_charts.before_and_after(top), width="stretch",
            alt="Probabilities of the labels that change most; the export has all.",
        )  # fmt: skip
        over = hints.OVER_ALL if labels.bias is None else hints.OVER_EACH
        most = (
            f"The {len(top)} that change most, of {len(every)}. " if len(every) > len(top) else ""
        )
        st.caption(most + over.format(len(every)))
    with right:
        if len(one.swept):
            _sweep(labels, one, asked, shares, [s.name for s in top], made)


def _sweep(
    labels: Labels,
    one: Seen,
    asked: Asked,
    shares: Sequence[float],
    names: Sequence[str],
    made: dict[str, Any],
) -> None:
    unit, times = asked.axis
    at, title = [share * times for share in shares], AXES[unit]
    chances = labels.chances(one.swept)
    places = [labels.names.index(name) for name in names[:MOST_LINES]]
    st.altair_chart(
        label_charts.over_strengths(
            names[:MOST_LINES], at, chances[:, places], title=title, chosen=times
        ),
        width="stretch", height=max(260, label_charts.ROW * len(names)),
        alt="Probabilities of the labels that change most, over strengths; the export has all.",
    )  # fmt: skip
    made["sweep"] = {
        "by": title, "at": at,
        "chances": dict(zip(labels.names, chances.T.tolist(), strict=True)),
        "cosine": (one.swept @ one.unsteered).tolist(),
    }  # fmt: skip


def _choose_labels(run: Run, about: str | None) -> tuple[list[str], str]:
    """The labels to choose between, to begin with the tags like that which the setting is `about`;
    and the sentence that they stand in."""
    tags = queries.marks(run.connection, limit=image_embeddings.MOST_LABELS)
    like = rivals(about, *cached.together(run)) if about else []
    named = cached.labels(run)[: image_embeddings.MOST_LABELS]
    known = {"like": like[1:], "tags": tags, "names": named, "own": True}
    sets = [name for name, of in known.items() if of]
    said = run.setting("labels", "template")
    usual = said if isinstance(said, str) else "a photo of {}"
    chosen, own = address.asked_text("labels"), address.asked_text("words")
    chosen = chosen if chosen in sets else sets[0]
    template = st.query_params.get("template", usual)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="label-set"):
        st.segmented_control(
            "Labels", sets, required=True, help=hints.LABEL_SET,
            format_func=lambda name: markdown.plain(
                f"{SETS[name]} “{about}”" if name == "like" else SETS[name]
            ),
            **request.bound("labels", chosen, usual=sets[0], given="default"),
        )  # fmt: skip
        if chosen == "own":
            st.text_input(
                "Your labels, with commas between", max_chars=2000, width=420,
                placeholder="a cat, a dog, a car", **request.bound("words", own, usual=""),
            )  # fmt: skip
        st.text_input(
            "In the sentence", max_chars=200, help=hints.TEMPLATE, width=220,
            **request.bound("template", template, usual=usual),
        )  # fmt: skip
    if "{}" not in template:
        st.caption("The sentence needs {} where the label goes; without it the label stands alone.")
        template = "{}"
    given = [text.strip()[:200] for text in own[:2000].split(",")]
    names = {"like": like, "tags": tags, "names": named, "own": [text for text in given if text]}[
        chosen
    ]
    return list(dict.fromkeys(names))[: image_embeddings.MOST_LABELS], template[:300]


def _nearest(
    find: Callable[[], Among], one: Seen, own: int | None, what: str
) -> tuple[Among, list[tuple[int, float]], list[tuple[int, float]]] | None:
    """What the embedding is near to, before and after; says so where there is nothing."""
    try:
        with st.spinner(f"Reading {what}, once for all visitors …"):
            among = find()
    except models.Unavailable as problem:
        st.caption(markdown.plain(f"No nearest {what}: {problem}"))
        return None
    if not len(among.ids):
        st.caption(f"This run has no {what}.")
        return None
    # The image itself is the nearest to itself, which says nothing; its caption does.
    but = None if among.texts else own
    return among, among.nearest(one.unsteered, but=but), among.nearest(one.steered, but=but)


def _images(run: Run, model: str, one: Seen, own: int | None, made: dict[str, Any]) -> None:
    furniture.section("Nearest images", hints.NEAREST_IMAGES)
    found = _nearest(
        lambda: image_embeddings.images(run, model, one.key, same=not one.changed),
        one,
        own,
        "images",
    )
    if found is None:
        return
    among, *sides = found
    fresh = new(sides[1], sides[0])
    ids = [int(among.ids[place]) for side in sides for place, _ in side]
    known, pictures = queries.examples(run.connection, ids), queries.pictures(run.connection, ids)
    rows = []
    for name, side in zip(("unsteered", "steered"), sides, strict=True):
        tiles, listed = [], []
        for place, cosine in side:
            example_id = int(among.ids[place])
            example, picture = known.get(example_id), pictures.get(example_id)
            is_new = name == "steered" and place in fresh
            tiles.append(
                {
                    "src": picture and data_uri(picture), "href": address.to_image(example_id),
                    "caption": (example.captions or [example.uri])[0][:400] if example else "",
                    "text": f"{'new ' if is_new else ''}{number(cosine)}", "shown": is_new,
                }
            )  # fmt: skip
            listed.append({"example": example_id, "cosine": cosine, "new": is_new})
        rows.append({"name": name, "images": tiles, "wide": True})
        made.setdefault("nearest_images", {})[name] = listed
    strips(rows, key="near-images")
    st.caption(f"Of {among.source}; {len(fresh)} of {NEAREST} are new, framed.")


def _captions(run: Run, model: str, one: Seen, own: int | None, made: dict[str, Any]) -> None:
    furniture.section("Nearest captions", hints.NEAREST_CAPTIONS)
    found = _nearest(lambda: image_embeddings.captions(run, model, one.key), one, own, "captions")
    if found is None:
        return
    among, *sides = found
    fresh = new(sides[1], sides[0])
    columns = ""
    for name, side in zip(("unsteered", "steered"), sides, strict=True):
        items = ""
        for place, cosine in side:
            mark = '<b class="new">new</b> ' if name == "steered" and place in fresh else ""
            text = html.escape(among.texts[place][:400])
            items += f"<li>{mark}{text} <span>{number(cosine)}</span></li>"
        columns += f"<div><p>{name}</p><ol>{items}</ol></div>"
        made.setdefault("nearest_captions", {})[name] = [
            {"caption": among.texts[place], "cosine": cosine} for place, cosine in side
        ]
    st.html(f'<div class="near-captions">{columns}</div>')
    st.caption(f"Of {among.source}.")
