"""One feature within a report: markup only, every text from data escaped."""

import html
from collections.abc import Sequence

from dashboard.cards.contact_sheets import data_uri
from dashboard.exports.captions import captions, sides
from dashboard.exports.pictures import heat_map, opened
from dashboard.records import columns
from dashboard.records.features import AutoLabel, Said, Score, Top
from dashboard.records.matches import Related
from dashboard.records.profile import Profile
from dashboard.style import hints
from dashboard.style.numbers import fact_of, number, unlabelled

KINDS = {
    "decoder": "Nearest directions", "jaccard": "Fires together with",
    "correlation": "Most correlated",
}  # fmt: skip
MOST_NEAR = 5
WIDE, HIGH, ROOM = 300, 96, 14
"""The histogram, in units of its view box, with room for the numbers below."""


def anchor(profile: Profile) -> str:
    """The feature's place within the report."""
    return f"{profile.key[0]}-{profile.key[1]}"


def feature_section(profile: Profile, said: Sequence[Said] = ()) -> str:
    """The feature's part of a report."""
    card = profile.feature.card
    parts = [_histogram(profile), _scores(profile.scores), _names(profile.names)]
    parts += _relations(profile)
    return (
        f'<section class="feature" id="{html.escape(anchor(profile))}">'
        f"<h2>{html.escape(profile.dictionary.short)} <b>#{card.feature_id}</b></h2>"
        f"{_facts(profile)}{_flags(profile)}"
        + "".join(_remark(one) for one in said)
        + _tiles(profile)
        + captions(profile.captions)
        + f'<div class="parts">{"".join(parts)}</div></section>'
    )


def _facts(profile: Profile) -> str:
    card, of = profile.feature.card, profile.dictionary.n_examples
    share = max(0.0, min(1.0, card.ms or 0.0))
    score = "" if card.label is None else f' <span class="muted">{number(card.label_score)}</span>'
    meter = f'<span class="meter"><i style="width:{share:.0%}"></i></span>'
    rank = "" if card.ms_percentile is None else f", percentile {card.ms_percentile * 100:.0f}"
    label = (
        f'<span class="muted">{unlabelled(card, spoken=bool(profile.captions))}</span>'
        if card.label is None
        else f"<b>{html.escape(card.label)}</b>"
    )
    every: list[tuple[str, str]] = []
    some: list[tuple[str, str]] = []
    for column in columns.reported():
        if text := fact_of(column, card, of=of):
            name = column.short if column.in_head else column.title
            (some if column.needs else every).append((name, html.escape(text)))
    facts = [
        ("label", label + score),
        ("MS", f'{meter}{number(card.ms)}<span class="muted">{rank}</span>'),
        *every, *sides(profile.modality), *some,
    ]  # fmt: skip
    return "<dl>" + "".join(f"<div><dt>{n}</dt><dd>{t}</dd></div>" for n, t in facts) + "</dl>"


def _flags(profile: Profile) -> str:
    found = profile.artefacts
    names = found.raised(spoken=bool(profile.captions)) if found is not None else []
    if not names:
        return ""
    chips = "".join(f"<span>{hints.FLAG_NAMES.get(n, n)}: {hints.FLAGS[n]}</span>" for n in names)
    return f'<p class="flags">may be an artefact: {chips}</p>'


def _remark(one: Said) -> str:
    by = f", {html.escape(one.author)}" if one.author else ""
    return f'<p class="remark"><b>{html.escape(one.kind)}{by}:</b> {html.escape(one.text)}</p>'


def _tiles(profile: Profile) -> str:
    if not profile.feature.top:
        return '<p class="muted">No val image activates this feature.</p>'
    most = max((act for top in profile.feature.top for act in top.patch_acts), default=0.0)
    tiles = "".join(_tile(profile, top, most) for top in profile.feature.top)
    return f'<div class="tiles">{tiles}</div><p class="about">{_about(profile, most)}</p>'


def _about(profile: Profile, most: float) -> str:
    """What the heat maps show, or why there are none."""
    if profile.dictionary.grid is None:
        return hints.ONE_VECTOR
    if most <= 0:
        return hints.NO_PATCH
    at_cls = f"; {hints.READ_AT_CLS}" if profile.dictionary.tokens == "cls" else ""
    return f"heat map from 0 to {number(most)}{at_cls}"


def _tile(profile: Profile, top: Top, most: float) -> str:
    known = profile.examples.get(top.example_id)
    name = (known.captions[0] if known.captions else known.uri) if known else "an image"
    tip = html.escape(f"{name[:400]} ({known.uri})" if known else name)
    webp, grid = profile.pictures.get(top.example_id), profile.dictionary.grid
    picture = ""
    if opened(webp) is not None and webp is not None:
        picture = f'<img src="{data_uri(webp)}" alt="{tip}">'
    heat = ""
    if grid and top.patches and picture:
        png = heat_map(top.patches, top.patch_acts, grid=grid, top=most)
        aspect = known.aspect if known and profile.dictionary.grid_fit == "whole" else 1.0
        # The square centre of the picture is shown; patches may cover all of it.
        wide, high = max(1.0, aspect), max(1.0, 1 / aspect)
        box = f"left:{-50 * (wide - 1):.4g}%;top:{-50 * (high - 1):.4g}%;"
        box += f"width:{100 * wide:.5g}%;height:{100 * high:.5g}%"
        heat = f'<img class="heat" src="{data_uri(png, kind="png")}" alt="" style="{box}">'
    return (
        f'<figure title="{tip}"><div class="frame">{picture}{heat}</div>'
        f"<figcaption><span>{top.rank}</span><span>{number(top.activation)}</span></figcaption>"
        "</figure>"
    )


def _histogram(profile: Profile) -> str:
    counts, edges = profile.feature.counts, profile.feature.edges
    if not counts or not max(counts):
        return ""
    # Square roots, as on the page: a few strong images stay visible beside many weak ones.
    unit, step = HIGH / max(counts) ** 0.5, WIDE / len(counts)
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{HIGH - unit * n**0.5:.1f}" width="{step * 0.9:.1f}" '
        f'height="{unit * n**0.5:.1f}"><title>{number(edges[i])} to {number(edges[i + 1])}: '
        f"{n:,} images</title></rect>"
        for i, n in enumerate(counts)
        if n
    )
    ticks = "".join(
        f'<text x="{at * WIDE:.0f}" y="{HIGH + 11}" text-anchor="{how}">'
        f"{number(edges[0] + at * (edges[-1] - edges[0]))}</text>"
        for at, how in ((0, "start"), (0.5, "middle"), (1, "end"))
    )
    return (
        f'<section><h3>Activations</h3><svg class="histogram" viewBox="0 0 {WIDE} {HIGH + ROOM}" '
        f'role="img" aria-label="Histogram of the activations above 0; the largest bin holds '
        f'{max(counts):,} images.">{bars}<line x1="0" x2="{WIDE}" y1="{HIGH}" y2="{HIGH}"/>'
        f'{ticks}</svg><p class="muted">val images by activation, √ scale, up to '
        f"{max(counts):,} a bin</p></section>"
    )


def _scores(scores: Sequence[Score]) -> str:
    if not scores:
        return ""
    rows = "".join(_score(one) for one in scores)
    return (
        f"<section><h3>MS by encoder</h3>{rows}"
        '<p class="muted"><span class="key"></span>random neuron '
        '<span class="key direction"></span>random direction</p></section>'
    )


def _score(one: Score) -> str:
    kinds = (("neuron", one.control_neuron), ("direction", one.control_direction))
    marks = "".join(
        f'<u class="{kind}" style="left:{max(0.0, min(1.0, at)):.1%}" '
        f'title="random {kind} {number(at)}"></u>'
        for kind, at in kinds
        if at is not None
    )
    share = max(0.0, min(1.0, one.ms or 0.0))
    itself = ", the model itself" if one.judges_itself else ""
    return (
        f'<div class="score"><span>{html.escape(one.encoder)}{itself}</span>'
        f'<span class="track"><i style="width:{share:.1%}"></i>{marks}</span>'
        f'<span class="num">{number(one.ms)}</span></div>'
    )


def _names(names: Sequence[AutoLabel]) -> str:
    """What the pipeline found to call it, each with how well it tells the feature's images."""
    if not names:
        return ""
    rows = "".join(
        f"<li><span>{html.escape(one.label[:200])} "
        f'<span class="muted">{html.escape(hints.NAME_KINDS.get(one.kind, one.kind))}</span></span>'
        f'<span class="num">{number(one.tells)}</span></li>'
        for one in names
    )
    return (
        f'<section><h3>Names found for it</h3><ul class="names">{rows}</ul>'
        '<p class="muted">tells its images from others; 0.5 is chance</p></section>'
    )


def _relations(profile: Profile) -> list[str]:
    lists = {
        title: [n for n in profile.neighbors if n.kind == kind][:MOST_NEAR]
        for kind, title in KINDS.items()
    }
    lists["Best match elsewhere"] = list(profile.matches)
    return [
        f"<section><h3>{title}</h3><ul>{''.join(_near(profile, n) for n in near)}</ul></section>"
        for title, near in lists.items()
        if near
    ]


def _near(profile: Profile, near: Related) -> str:
    card = near.card
    short = profile.shorts.get(card.dictionary_id, card.dictionary_id)
    where = "" if card.dictionary_id == profile.key[0] else f"{short} "
    label = f' <span class="muted">{html.escape(card.label[:200])}</span>' if card.label else ""
    return (
        f"<li><span>{html.escape(where)}#{card.feature_id}{label}</span>"
        f'<span class="num">{number(near.score)}</span></li>'
    )
