"""Image: one image, or two side by side: the features that fire at each layer, and where."""

import streamlit as st

from dashboard import address, queries
from dashboard.bundle import cached, opening
from dashboard.cards import feature
from dashboard.components.chips import chips
from dashboard.components.grid import grid
from dashboard.components.patches import patches
from dashboard.components.strips import strips
from dashboard.images import finder
from dashboard.images import patches as image_patches
from dashboard.live import images
from dashboard.page import downloads, furniture
from dashboard.records.dictionaries import Dictionary
from dashboard.records.images import Fired
from dashboard.style import hints, markdown

TILES, TILE, MOST_CARDS = (4, 2), 96, 12


def choose(run: opening.Run, dictionary: Dictionary) -> list[images.Look]:
    """The images that the page is about, with what chooses others above them."""
    found = finder.bar(run, most=2)
    current, beside = address.asked_number("example"), address.asked_number("with")
    own = found.own
    if current is None and found.examples:
        current = found.examples[0].example_id

    def to(one: int | None, other: int | None) -> str:
        return address.to_image(
            one, other, layer=dictionary.place, set=dictionary.name, find=found.text,
            seed=str(found.seed or ""),
        )  # fmt: skip

    thumbs = image_patches.thumbs(
        run, found.examples, current=current, beside=beside, own=len(own), to=to
    )
    strips([{"name": found.name, "images": thumbs, "wide": True}], key="found")
    wanted = [None if own else current, beside if len(own) < 2 else None]
    looks = own + [look for one in wanted if one is not None and (look := finder.of_run(run, one))]
    return looks[:2]


def place(every: list[Dictionary]) -> Dictionary:
    """The layer and the dictionary there."""
    best = max(every, key=lambda d: (d.basis == "sae", d.grid is not None, d.ms or -1.0))
    places = list(dict.fromkeys(d.place for d in every))
    with st.container(horizontal=True, gap="medium", key="image-place"):
        layer = furniture.segments(
            "Layer", places, default=best.place, format_func=markdown.plain,
            **address.own("layer"), help=hints.HOOK,
        )  # fmt: skip
        here = [d for d in every if d.place == layer]
        names = list(dict.fromkeys(d.name for d in every))
        name = furniture.segments(
            "Dictionary", names, default=best.name, format_func=markdown.plain,
            **address.own("set"), help=hints.DICTIONARY,
        )  # fmt: skip
    return next((d for d in here if d.name == name), here[0])


def like(looks: list[images.Look]) -> None:
    """Links to the features that show images like those of the run."""
    shown = [look.example for look in looks if look.example is not None]
    links = []
    for example, which in zip(shown, ("this one", "the other one"), strict=False):
        name = example.captions[0][:200] if example.captions else example.uri
        to = address.to_browse_like(example.example_id)
        links.append((f"features that show images like {which}", to, name))
    if links:
        chips(links, name="Browse", key="like")


def cards(run: opening.Run, made: dict, found: list[Fired], dictionary: Dictionary) -> None:
    """The strongest features as cards: of two images those on both."""
    ids = made["groups"][0]["ids"][:MOST_CARDS]
    if not ids:
        return
    keys = [(dictionary.dictionary_id, one) for one in ids]
    known = queries.cards_at(run.connection, keys, examples=TILES[0] * TILES[1])
    sheets = run.contact(known, tiles=TILES, tile=TILE)
    shown = [
        feature.card(card, dictionary, sheet)
        | {"note": f"activation {image_patches.card_note(card.feature_id, found, dictionary)}"}
        for card, sheet in zip(known, sheets, strict=True)
    ]
    both = " on both" if len(found) > 1 else ""
    furniture.section(f"The strongest features{both}", hints.ON_IMAGE)
    grid(shown, tiles=TILES, said="", page=1, pages=1, of="", key="strongest")


run = opening.current()
every = cached.dictionaries(run)
above = st.container()
dictionary = place(every)
with above:
    looks = choose(run, dictionary)
if not looks:
    furniture.empty("Choose an image above, or give one of yours.")
    st.stop()
answers = [images.fired(run, dictionary, look) for look in looks]
for line in dict.fromkeys(line for _, line in answers if line):
    st.warning(markdown.plain(line))
seen = [(look, one) for look, (one, _) in zip(looks, answers, strict=True) if one is not None]
if not seen:
    st.stop()
found = [one for _, one in seen]
mapped = any(len(one.cell) for one in found)
hint = hints.PATCH_HINT if mapped else hints.ONE_VECTOR if dictionary.grid is None else ""
made, ids = image_patches.data([look for look, _ in seen], found, dictionary, hint=hint)
labels = queries.feature_names(run.connection, dictionary.dictionary_id, ids)
of = address.name_of(dictionary.dictionary_id, [one.key for one in looks], mapped)
patches(image_patches.named(made, labels), of=of, key="patches")
if mapped and dictionary.tokens == "cls":
    st.caption(hints.PATCHES_OF_CLS)
like([look for look, _ in seen])
if ids:
    downloads.table_downloads(
        lambda: image_patches.rows([look for look, _ in seen], found, dictionary, labels),
        name=f"{run.name}-{dictionary.short}-on-image", key="export-image",
    )  # fmt: skip
cards(run, made, found, dictionary)
