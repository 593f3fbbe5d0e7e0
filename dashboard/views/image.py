"""Image: one image, or two side by side: the features that fire at each layer, and where."""

import streamlit as st

from dashboard import (
    connection,
    downloads,
    finding,
    queries,
    records,
    sight,
    state,
    widgets,
    words,
)
from dashboard.components.chips import chips
from dashboard.components.grid import grid
from dashboard.components.patches import patches
from dashboard.components.strips import strips

TILES, TILE, MOST_CARDS = (4, 2), 96, 12


def choose(dictionary: records.Dictionary) -> list[sight.Look]:
    """The images that the page is about, with what chooses others above them."""
    found = finding.bar(run, most=2)
    current, beside = state.asked_number("example"), state.asked_number("with")
    own = found.own
    if current is None and found.examples:
        current = found.examples[0].example_id

    def to(one: int | None, other: int | None) -> str:
        return state.to_image(
            one, other, layer=dictionary.place, set=dictionary.name, find=found.text,
            seed=str(found.seed or ""),
        )  # fmt: skip

    thumbs = sight.thumbs(run, found.examples, current=current, beside=beside, own=len(own), to=to)
    strips([{"name": found.name, "images": thumbs, "wide": True}], key="found")
    wanted = [None if own else current, beside if len(own) < 2 else None]
    looks = own + [look for one in wanted if one is not None and (look := finding.of_run(run, one))]
    return looks[:2]


def place(every: list[records.Dictionary]) -> records.Dictionary:
    """The layer and the dictionary there."""
    best = max(every, key=lambda d: (d.basis == "sae", d.grid is not None, d.ms or -1.0))
    places = list(dict.fromkeys(d.place for d in every))
    with st.container(horizontal=True, gap="medium", key="image-place"):
        layer = widgets.segments(
            "Layer", places, default=best.place, format_func=widgets.plain,
            **state.own("layer"), help=words.HOOK,
        )  # fmt: skip
        here = [d for d in every if d.place == layer]
        names = list(dict.fromkeys(d.name for d in every))
        name = widgets.segments(
            "Dictionary", names, default=best.name, format_func=widgets.plain,
            **state.own("set"), help=words.DICTIONARY,
        )  # fmt: skip
    return next((d for d in here if d.name == name), here[0])


def like(looks: list[sight.Look]) -> None:
    """Links to the features that show images like those of the run."""
    shown = [look.example for look in looks if look.example is not None]
    links = []
    for example, which in zip(shown, ("this one", "the other one"), strict=False):
        name = example.captions[0][:200] if example.captions else example.uri
        to = state.to_browse_like(example.example_id)
        links.append((f"features that show images like {which}", to, name))
    if links:
        chips(links, name="Browse", key="like")


def cards(made: dict, found: list[records.Fired], dictionary: records.Dictionary) -> None:
    """The strongest features as cards: of two images those on both."""
    ids = made["groups"][0]["ids"][:MOST_CARDS]
    if not ids:
        return
    keys = [(dictionary.dictionary_id, one) for one in ids]
    known = queries.cards_at(run.connection, keys, examples=TILES[0] * TILES[1])
    sheets = run.contact(known, tiles=TILES, tile=TILE)
    shown = [
        widgets.card(card, dictionary, sheet)
        | {"note": f"activation {sight.card_note(card.feature_id, found, dictionary)}"}
        for card, sheet in zip(known, sheets, strict=True)
    ]
    both = " on both" if len(found) > 1 else ""
    widgets.section(f"The strongest features{both}", words.ON_IMAGE)
    grid(shown, tiles=TILES, said="", page=1, pages=1, of="", key="strongest")


run = connection.current()
every = connection.dictionaries(run.connection, run.key)
above = st.container()
dictionary = place(every)
with above:
    looks = choose(dictionary)
if not looks:
    widgets.empty("Choose an image above, or give one of yours.")
    st.stop()
answers = [sight.fired(run, dictionary, look) for look in looks]
for line in dict.fromkeys(line for _, line in answers if line):
    st.warning(widgets.plain(line))
seen = [(look, one) for look, (one, _) in zip(looks, answers, strict=True) if one is not None]
if not seen:
    st.stop()
found = [one for _, one in seen]
mapped = any(len(one.cell) for one in found)
hint = words.PATCH_HINT if mapped else words.ONE_VECTOR if dictionary.grid is None else ""
made, ids = sight.data([look for look, _ in seen], found, dictionary, hint=hint)
labels = queries.feature_names(run.connection, dictionary.dictionary_id, ids)
of = state.name_of(dictionary.dictionary_id, [one.key for one in looks], mapped)
patches(sight.named(made, labels), of=of, key="patches")
if mapped and dictionary.tokens == "cls":
    st.caption(words.PATCHES_OF_CLS)
like([look for look, _ in seen])
if ids:
    downloads.table_downloads(
        lambda: sight.rows([look for look, _ in seen], found, dictionary, labels),
        name=f"{run.name}-{dictionary.short}-on-image", key="export-image",
    )  # fmt: skip
cards(made, found, dictionary)
