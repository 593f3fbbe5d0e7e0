"""Overview: what the run holds, how monosemantic its features are, and the way on."""

import streamlit as st

from dashboard import address, queries
from dashboard.bundle import cached, opening
from dashboard.cards import feature
from dashboard.charts import features
from dashboard.components.guide import guide
from dashboard.components.table import table
from dashboard.page import downloads, furniture
from dashboard.records.dictionaries import Dictionary, Summary
from dashboard.records.features import Filter
from dashboard.style import hints, markdown, numbers

COLUMNS = [
    {"key": "short", "title": "dictionary", "kind": "link", "help": "Opens it in Browse."},
    {"key": "features", "title": "features", "kind": "number", "help": hints.FEATURE},
    {"key": "dead", "title": "dead", "kind": "number", "help": hints.DEAD},
     {"key": "l0", "title": "l0", "kind": "number", "help": hints.L0_KINDS},
    {"key": "fvu", "title": "fvu", "kind": "number", "help": hints.FVU},
    {"key": "ms", "title": "mean MS", "kind": "meter", "help": hints.MS},
    {"key": "over", "title": "over neurons", "kind": "number",
     "help": "Mean MS above that of the raw neurons at the same hook point."},
    {"key": "control", "title": "control", "kind": "number", "help": hints.CONTROLS},
]  # fmt: skip
MADE = [
    {"key": "short", "title": "dictionary", "kind": "link", "help": "Opens it in Browse."},
    {"key": "architecture", "title": "architecture", "kind": "text", "help": hints.ARCHITECTURE},
    {"key": "shape", "title": "d_in → d_sae", "kind": "number", "help": hints.SHAPE},
    {"key": "reads", "title": "reads", "kind": "text", "help": hints.READS},
    {"key": "learnt", "title": "learnt from", "kind": "text", "help": hints.LEARNT_FROM},
    {"key": "seen", "title": "trained on", "kind": "number", "help": hints.SEEN},
    {"key": "kind", "title": "tokens", "kind": "text", "help": hints.TOKEN_KINDS},
    {"key": "measured", "title": "measured on", "kind": "number", "help": "Tokens of val images."},
    {"key": "l0", "title": "l0", "kind": "number", "help": hints.L0},
    {"key": "fvu", "title": "fvu", "kind": "number", "help": hints.FVU},
    {"key": "cosine", "title": "cosine", "kind": "number", "help": hints.COSINE},
    {"key": "source", "title": "source", "kind": "text", "help": "Where its weights come from."},
]  # fmt: skip
TILES, TILE = (4, 2), 96


def columns(run: opening.Run) -> list[dict[str, str]]:
    """COLUMNS; where captions were read, those that are dead on images may fire on words."""
    if not cached.worded(run):
        return COLUMNS
    dead = {"title": "dead on images", "help": hints.DEAD_ON_IMAGES}
    return [one | dead if one["key"] == "dead" else one for one in COLUMNS]


def rows(
    run: opening.Run, dictionaries: list[Dictionary], summaries: list[Summary]
) -> list[dict[str, object]]:
    """The table of dictionaries, as the component takes it."""
    colours = features.dictionary_colours(dictionaries)
    control = {s.dictionary_id: s.control_neuron for s in summaries}
    neurons = {(d.model, d.hook): d.ms for d in dictionaries if d.basis == "neurons"}
    by_kind: dict[str, str] = {}
    for one in queries.reconstruction(run.connection):
        name = hints.TOKEN_NAMES.get(one.token_type, one.token_type)
        before = by_kind.get(one.dictionary_id)
        by_kind[one.dictionary_id] = (f"{before}, " if before else "") + (
            f"{name} {numbers.number(one.l0, 1)}"
        )
    made, before = [], ""
    for d in dictionaries:
        href = address.to_browse(d)
        base = neurons.get((d.model, d.hook))
        sae = d.basis == "sae"
        over = d.ms - base if sae and d.ms is not None and base is not None else None
        made.append(
            {
                "short": d.short, "href": href, "colour": colours[d.name],
                "first": d.hook != before, "features": f"{d.d_sae:,}", "dead": f"{d.dead:,}",
                "l0": {"text": numbers.number(d.l0, 1), "help": by_kind.get(d.dictionary_id, "")},
                "fvu": numbers.number(d.fvu, 3),
                "ms": {"value": d.ms, "text": numbers.number(d.ms, 3)},
                "over": "" if over is None else f"{over:+.3f}",
                "control": numbers.number(control.get(d.dictionary_id), 3) if sae else "",
            }
        )  # fmt: skip
        before = d.hook
    return made


def made(run: opening.Run, dictionaries: list[Dictionary]) -> list[dict[str, object]]:
    """How each SAE was made and how well it reconstructs, a row for each kind of token."""
    found = queries.reconstruction(run.connection)
    spoken = cached.worded(run)
    lines: list[dict[str, object]] = []
    for d in (d for d in dictionaries if d.basis == "sae"):
        for at, one in enumerate(r for r in found if r.dictionary_id == d.dictionary_id):
            too = " + captions" if d.dictionary_id in spoken else ""
            said = {
                "short": d.short, "architecture": d.architecture,
                "shape": f"{d.d_in:,} → {d.d_sae:,}", "reads": f"{d.tokens}{too}, {d.pooling}",
                "learnt": d.learnt_from or "",
                "seen": f"{d.tokens_seen:,}" if d.tokens_seen else "", "source": d.source,
            }  # fmt: skip
            first = said if at == 0 else dict.fromkeys(said, "")
            lines.append(
                first | {
                    "href": address.to_browse(d), "first": at == 0, "kind": one.token_type,
                    "measured": f"{one.tokens:,}", "l0": numbers.number(one.l0, 1),
                    "fvu": numbers.number(one.fvu, 3), "cosine": numbers.number(one.cosine, 3),
                }
            )  # fmt: skip
    return lines


def said_of_captions(run: opening.Run, val: int) -> str:
    """How many of the `val` val images have captions, and how far each model read those."""
    count = queries.captioned(run.connection)
    if count is None:
        return hints.NO_SIDES
    if not count:
        return hints.NO_WORDS
    models = [
        f"{one.model} read {one.captions:,}"
        + (f", {one.cut:,} not to their end" if one.cut else "")
        for one in queries.readings(run.connection)
    ]
    return f"Captions: {count:,} of {val:,} val images have some. {'; '.join(models)}."


def steps(run: opening.Run, dictionaries: list[Dictionary]) -> list[dict[str, object]]:
    """The guide: a feature of this run with a high score, a neuron with a low one, the way on."""
    best = max(dictionaries, key=lambda d: (d.basis == "sae", d.ms or -1.0))
    worst = min(dictionaries, key=lambda d: (d.model != best.model, d.ms or 2.0))
    common = Filter(n_active=2 * TILES[0] * TILES[1])
    cards = [
        card
        for of, down in ((best, True), (worst, False))
        for card in queries.page(
            run.connection, [of.dictionary_id], common, descending=down, limit=1
        )
    ]
    sheets = run.contact(cards, tiles=TILES, tile=TILE)
    by_id = {d.dictionary_id: d for d in dictionaries}
    shown = [feature.card(c, by_id[c.dictionary_id], s) for c, s in zip(cards, sheets, strict=True)]
    score = hints.GUIDE_MS.format(best=best.short, worst=worst.short, least=common.n_active)
    texts = [("A feature", hints.GUIDE_FEATURE), ("Its score", score)]
    told: list[dict[str, object]] = [
        {"title": title, "text": text, "card": card, "tiles": TILES}
        for (title, text), card in zip(texts, shown, strict=False)
    ]
    links = [
        {"text": name, "href": address.to_page(page), "about": about}
        for name, page, about in hints.GUIDE_WAYS
    ]
    return [*told, {"title": "Where to go", "text": hints.GUIDE_ON, "links": links}]


run = opening.current()
dictionaries = cached.dictionaries(run)
summaries = cached.summaries(run)
held = queries.holdings(run.connection)

furniture.heading(run.title)
noted = cached.notices(run)
# That a model judges itself stands above every page.
furniture.notice([n for n in noted if n not in cached.judged_alone(run)])
guide(steps(run, dictionaries))
furniture.figures(
    [
        ("train images", f"{held.train:,}", "SAEs learn from them."),
        ("val images", f"{held.val:,}", "Everything is measured on them."),
        ("models", ", ".join(sorted({d.model for d in dictionaries})), "Models under study."),
        ("dictionaries", f"{len(dictionaries):,}", "SAEs, and the raw neurons as the baseline."),
        ("features", f"{sum(d.d_sae for d in dictionaries):,}", hints.FEATURE),
        ("judged by", ", ".join(held.encoders), "Image encoders behind MS, the default first."),
        ("inputs skipped", f"{held.skipped:,}", "Inputs that could not be read."),
    ]
)
wide, narrow = st.columns([2, 1], gap="medium")
with wide:
    furniture.section("MS of features, by hook point", hints.MS)
    st.altair_chart(
        features.ms_by_hook(dictionaries, summaries), width="stretch", height=360,
        alt="Spread of MS by hook point and dictionary; the means are in the table below.",
    )  # fmt: skip
    st.caption(
        "Bar: half of the features; line: 90 %; dot: the mean, with its 95 % interval. "
        "Amber: the mean of the density-matched control, a random neuron kept as sparse."
    )
with narrow:
    furniture.section("Sparsity against error", f"l0: {hints.L0} fvu: {hints.FVU}")
    if any(d.basis == "sae" for d in dictionaries):
        st.altair_chart(
            features.l0_fvu(dictionaries), width="stretch", height=360,
            alt="l0 against fvu of every SAE; the numbers are in the table below.",
        )  # fmt: skip
    else:
        furniture.empty(
            "This run has no SAE. Add one to its config: kind = batchtopk, matryoshka or published."
        )
furniture.section("Dictionaries", "A dictionary is a set of features at one hook point.")
table(columns(run), rows(run, dictionaries, summaries), key="dictionaries")
downloads.table_downloads(lambda: dictionaries, name=f"{run.name}-dictionaries", key="export-all")
if any(d.basis == "sae" for d in dictionaries):
    with st.expander("How the SAEs were made, and how well they reconstruct"):
        table(MADE, made(run, dictionaries), key="made")
        st.caption(markdown.plain(said_of_captions(run, held.val)))
if held.skipped:
    with st.expander(f"{held.skipped:,} inputs skipped, and why"):
        for uri, reason in queries.skipped(run.connection):
            st.text(f"{uri}: {reason}")
