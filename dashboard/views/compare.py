"""Compare: two dictionaries side by side, feature by feature."""

import streamlit as st

from dashboard import charts, connection, palette, queries, records, state, widgets, words
from dashboard.components.grid import grid
from pipeline.metrics.relations import MATCH_THRESHOLD

TILES, TILE, PER_PAGE = (4, 2), 96, 12
SHOW = {"matched": "matched features", "left": "only left", "right": "only right"}


def choose(every: list[records.Dictionary]) -> tuple[records.Dictionary, records.Dictionary]:
    """Left and right; at first the best SAE, and its namesake at the next hook point."""
    by_name = {d.short: d for d in every}
    names = list(by_name)
    best = max(every, key=lambda d: (d.basis == "sae", d.ms or -1.0))
    others = [d for d in every if d is not best]
    next_to = min(others, key=lambda d: (d.name != best.name, abs(d.depth - best.depth)))
    with st.container(horizontal=True, gap="medium"):
        left = st.selectbox("Left", names, names.index(best.short), key="left",
                            bind="query-params", help=words.DICTIONARY)  # fmt: skip
        right = st.selectbox("Right", names, names.index(next_to.short), key="right",
                             bind="query-params", help=words.DICTIONARY)  # fmt: skip
    return by_name[left], by_name[right]


def agreement(one: records.Dictionary, other: records.Dictionary) -> records.Agreement:
    """How much of one is found again in the other."""
    return queries.agreement(
        run.connection, one.dictionary_id, other.dictionary_id, threshold=MATCH_THRESHOLD
    )


def figure(
    one: records.Dictionary, other: records.Dictionary, said: records.Agreement
) -> tuple[str, str, str]:
    """The same as a number with its name and explanation."""
    share = said.matched / said.live if said.live else None
    text = f"{widgets.percent(share)} of {said.live:,}"
    about = f"{words.MATCHED} Mean correlation of the best matches: {widgets.number(said.mean)}."
    return f"{one.short}, found again in {other.short}", text, about


def made(of: records.Dictionary, ids: list[int]) -> dict[int, dict[str, object]]:
    """The cards of these features by id."""
    cards = queries.cards_of(run.connection, of.dictionary_id, ids, examples=TILES[0] * TILES[1])
    wanted = {(run.key, c.dictionary_id, c.feature_id, TILE): c.examples for c in cards}
    sheets = run.sheets.get(wanted, lambda i: queries.pictures(run.connection, i), tiles=TILES)
    return {c.feature_id: widgets.card(c, of, s) for c, s in zip(cards, sheets, strict=True)}


def show_pairs(left: records.Dictionary, right: records.Dictionary, page: int) -> list[dict]:
    """Cards two by two: a feature and its best match."""
    pairs = queries.pairs(
        run.connection, left.dictionary_id, right.dictionary_id, limit=PER_PAGE,
        offset=(page - 1) * PER_PAGE,
    )  # fmt: skip
    mine = made(left, [pair.feature_id for pair in pairs])
    theirs = made(right, [pair.match for pair in pairs])
    cards: list[dict] = []
    for pair in pairs:
        note = f"correlation {widgets.number(pair.correlation)}"
        overlap = f"top images shared {widgets.percent(pair.jaccard)}"
        cards.append(mine[pair.feature_id] | {"note": note})
        cards.append(theirs[pair.match] | {"note": overlap})
    return cards


def show_alone(one: records.Dictionary, other: records.Dictionary, page: int) -> list[dict]:
    """Cards of features without a match in the other."""
    ids = queries.unmatched(
        run.connection, one.dictionary_id, other.dictionary_id, threshold=MATCH_THRESHOLD,
        limit=2 * PER_PAGE, offset=(page - 1) * 2 * PER_PAGE,
    )  # fmt: skip
    return list(made(one, ids).values())


run = connection.current()
every = connection.dictionaries(run.connection, run.key)
if len(every) < 2 or not queries.has_matches(run.connection):
    widgets.empty(
        "There is nothing to compare: the bundle holds one dictionary, or was made before matches "
        "were computed. Run the pipeline again, with two or more dictionaries."
    )
    st.stop()
left, right = choose(every)
if left is right:
    widgets.empty("Left and right are the same dictionary. Choose another one.")
    st.stop()
one_way, other_way = agreement(left, right), agreement(right, left)
widgets.figures([figure(left, right, one_way), figure(right, left, other_way)])
everything = records.Filter(n_active=0)
counts = {
    d.short: queries.ms_histogram(run.connection, d.dictionary_id, everything)[0]
    for d in (left, right)
}
st.altair_chart(
    charts.overlaid(
        counts, {left.short: palette.SAE_SHADES[2], right.short: palette.CONTROL}, title="MS"
    ),
    width="stretch", height=220, alt="MS of the features of both dictionaries.",
)  # fmt: skip
shown = st.segmented_control(
    "Features", list(SHOW), default="matched", format_func=SHOW.__getitem__, key="show",
    bind="query-params", required=True, help=words.MATCHED,
)  # fmt: skip
of = state.name_of(left.dictionary_id, right.dictionary_id, shown)
one, other, said = (left, right, one_way) if shown != "right" else (right, left, other_way)
total = said.live if shown == "matched" else said.live - said.matched
per_page = PER_PAGE if shown == "matched" else 2 * PER_PAGE
pages = max(1, -(-total // per_page))
page = min(state.asked_page(of), pages)
cards = (show_pairs if shown == "matched" else show_alone)(one, other, page)
if cards:
    text = {"matched": "left beside its best match on the right, the closest first"}.get(
        shown, f"{total:,} features of {one.short} without a match in {other.short}"
    )
    grid(cards, tiles=TILES, said=text, page=page, pages=pages, of=of, key="pairs",
         paired=shown == "matched")  # fmt: skip
else:
    widgets.empty("Every feature has a match there.")
