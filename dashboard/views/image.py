"""Image: one image, or two side by side: the features that fire at each layer, and where."""

import secrets

import streamlit as st

from dashboard import connection, downloads, live, queries, records, sight, state, widgets, words
from dashboard.components.chips import chips
from dashboard.components.grid import grid
from dashboard.components.patches import patches
from dashboard.components.strips import strips

TILES, TILE, MOST_CARDS, MOST_FOUND = (4, 2), 96, 12, 8
KINDS = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"]


def own_key() -> str:
    """The uploader's key: a new and empty one once another image of the run is asked for."""
    asked = state.asked_number("example")
    turn = st.session_state.setdefault("own-turn", 0)
    if asked is not None and asked != st.session_state.get("own-asked"):
        turn += 1
    st.session_state.update({"own-turn": turn, "own-asked": asked})
    return f"own-{turn}"


def gave(key: str) -> None:
    """An image of the visitor's stands in the place of the run's: the address names that no
    more, so that choosing it again is a choice."""
    if st.session_state[key]:
        st.query_params.pop("example", None)


def draw() -> None:
    """Others at random, by a seed in the address."""
    st.query_params["seed"] = str(secrets.randbelow(2**31))
    st.session_state["find"] = ""


def choose(dictionary: records.Dictionary) -> list[sight.Look]:
    """The images that the page is about, with what chooses others above them."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        text = st.text_input(
            "Find an image", key="find", bind="query-params", max_chars=200, type="search",
            placeholder="id, caption, file or tag", label_visibility="collapsed",
        )  # fmt: skip
        st.button("Others at random", help="Draws other images of this run.", on_click=draw)
        key = own_key()
        with st.popover("Images of yours"):
            files = st.file_uploader(
                "One image, or two to see side by side", type=KINDS, accept_multiple_files=True,
                max_upload_size=20, key=key, help=words.OWN_IMAGE, on_change=gave, args=(key,),
            )  # fmt: skip
    current, beside = state.asked_number("example"), state.asked_number("with")
    seed = state.asked_number("seed", most=2**31) or 0
    text = (text or "").strip()
    found = (
        queries.find(run.connection, text, limit=MOST_FOUND)
        if text
        else queries.drawn(run.connection, seed, limit=MOST_FOUND)
    )
    if current is None and found:
        current = found[0].example_id
    if text and not found:
        st.caption("No val image of this run has that in its id, captions, file name or tags.")
    own = [look for file in files[:2] if (look := given(file.name, file.getvalue()))]
    thumbs = sight.thumbs(
        run, found, current=current, beside=beside, own=len(own),
        layer=dictionary.place, set=dictionary.name, find=text, seed=str(seed or ""),
    )  # fmt: skip
    name = "found" if text else "some images of this run"
    strips([{"name": name, "images": thumbs, "wide": True}], key="found")
    wanted = [None if own else current, beside if len(own) < 2 else None]
    looks = own + [look for one in wanted if one is not None and (look := of_run(one))]
    return looks[:2]


def given(name: str, content: bytes) -> sight.Look | None:
    try:
        return sight.of_file(name, content)
    except live.Unavailable as problem:
        st.warning(widgets.plain(f"{name}: {problem}"))
        return None


def of_run(example_id: int) -> sight.Look | None:
    look = sight.of_example(run, example_id)
    if look is None:
        st.warning(f"This run has no image {example_id}. Choose another one above.")
    return look


def place(every: list[records.Dictionary]) -> records.Dictionary:
    """The layer and the dictionary there."""
    best = max(every, key=lambda d: (d.basis == "sae", d.grid is not None, d.ms or -1.0))
    places = list(dict.fromkeys(d.place for d in every))
    with st.container(horizontal=True, gap="medium", key="image-place"):
        layer = st.segmented_control(
            "Layer", places, default=best.place, key="layer", bind="query-params", required=True,
            help=words.HOOK,
        )  # fmt: skip
        here = [d for d in every if d.place == layer]
        names = list(dict.fromkeys(d.name for d in every))
        name = st.segmented_control(
            "Dictionary", names, default=best.name, key="set", bind="query-params", required=True,
            help=words.DICTIONARY,
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
