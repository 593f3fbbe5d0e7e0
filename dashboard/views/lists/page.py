"""Lists: stars, named lists and chosen features, with what people say of them."""

from collections.abc import Sequence

import streamlit as st

from dashboard import address, gate
from dashboard.bundle import cached, opening
from dashboard.components.roster import roster
from dashboard.features.lists import Listed, Named
from dashboard.page import downloads, furniture
from dashboard.people import annotations
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Key
from dashboard.style import hints, markdown
from pipeline.annotations import (
    MOST_NAME,
    MOST_NOTE,
    Annotations,
    AnnotationsError,
    FeatureKey,
    FeatureList,
)

SAID, FILE, TURN, FAILED = "lists-said", "lists-file", "lists-turn", "lists-failed"
"""Session keys: what went well, the uploaded file, how many lists were made, what no file is of."""
CHOSEN = "chosen"
"""In the place of a list's name: features that the address names."""


def create(field: str, keys: Sequence[Key], every: Sequence[Dictionary]) -> None:
    """Make the list that the field names, with these features in it, and go there."""
    uuid = annotations.create_list(st.session_state[field])
    if uuid:
        st.session_state[TURN] = st.session_state.get(TURN, 0) + 1
        add(uuid, keys, every)


def add(uuid: str, keys: Sequence[Key], every: Sequence[Dictionary]) -> None:
    """Put features of these dictionaries into a list, and go there."""
    new = annotations.add_to_list(uuid, keys, every)
    if new is None:
        return
    if new < len(keys):
        st.session_state[SAID] = f"{new:,} added; the list held the other {len(keys) - new:,}."
    # One write, so that it is one step of the browser's history; of nothing, the address says
    # nothing.
    gone: dict[str, list[str]] = {"features": []} if "features" in st.query_params else {}
    st.query_params.update({"list": [uuid], **gone})


def save(one: FeatureList) -> None:
    """Keep what the fields say other than the list as it was shown: what somebody else wrote since
    stays."""
    name, note = (st.session_state[field] for field in fields(one))
    name, note = (None if name == one.name else name), (None if note == one.note else note)
    if (name, note) != (None, None):
        annotations.ask(lambda s: s.edit_list(one.uuid, name=name, note=note), None)


def fields(one: FeatureList) -> tuple[str, str]:
    """The keys of the fields for a list's name and note: another one once its text was changed, so
    that no field keeps an outdated text, nor loses what is being written when the other changes."""
    name, note = address.name_of(one.name), address.name_of(one.note)
    return f"name-{one.uuid}-{name}", f"note-{one.uuid}-{note}"


def delete(uuid: str) -> None:
    """Delete a list, and go to the stars."""
    annotations.ask(lambda s: s.delete_list(uuid), None)
    st.query_params.pop("list", None)


def bring_in() -> None:
    """Import the uploaded file."""
    file = st.session_state[FILE]
    done = annotations.bring_in(file.getvalue()) if file else None
    if done:
        others = hints.IMPORTED_AS_MINE if annotations.by_login() else hints.IMPORTED_AS_THEIRS
        st.session_state[SAID] = (
            f"Imported. New here: {done.stars:,} stars, {done.notes:,} notes, {done.labels:,} "
            f"labels, {done.lists:,} lists, {done.items:,} features in lists. Brought up to date: "
            f"{done.updated:,}."
            + (f" {others.format(count=f'{done.others:,}')}" if done.others else "")
        )


def rearrange(uuid: str | None, order: list[FeatureKey], gone: list[FeatureKey]) -> None:
    """Take features out of a list (of the stars, without one), and put the rest in this order."""
    who = annotations.author()

    def do(store: Annotations) -> None:
        if uuid is None:
            for key in gone:
                store.unstar(who, key)
        else:
            store.remove(uuid, gone)
            store.reorder(uuid, order)

    annotations.ask(do, None)


def export(label: str, uuid: str | None, file: str, *, help: str = "") -> None:
    """A button that makes a JSON file of everything, or of one list, when it is pressed."""
    opened, failed = annotations.store(), st.session_state.setdefault(FAILED, [])

    def made() -> str:
        # Called on another thread, after the page: the browser says that there is no file, the
        # page in its next run why.
        try:
            if opened is None:
                raise AnnotationsError(hints.NO_STORE)
            return opened.export(uuid)
        except AnnotationsError as error:
            failed.append(str(error))
            raise

    st.download_button(label, gate.while_open(made), file, "application/json", key=f"json-{uuid}",
                       on_click="ignore", help=help or None)  # fmt: skip


def new_list(label: str, keys: Sequence[Key], *, every: Sequence[Dictionary], where: str) -> None:
    """A field for the name of a new list, to hold `keys`; a fresh one, folded, once it is made."""
    name = f"{where}-{st.session_state.get(TURN, 0)}"
    with st.popover(label, key=f"new-list-{name}"):
        st.text_input("Name", key=f"new-name-{name}", max_chars=MOST_NAME)
        st.button(
            "Create",
            on_click=gate.allowed(create),
            args=(f"new-name-{name}", keys, every),
            key=f"create-{name}",
        )


def show_panel(
    lists: Sequence[FeatureList], stars: int, here: str | None, every: Sequence[Dictionary]
) -> None:
    """The lists there are, and what can be done with all that people say."""
    entries: list[tuple[str, int, str, str | None]]
    entries = [("My stars", stars, f"of {annotations.author()}", None)]
    entries += [(one.name, one.count, f"by {one.author}", one.uuid) for one in lists]
    roster(
        [
            {"title": title, "count": f"{count:,}", "about": about, "href": address.to_list(uuid),
             "here": uuid == here}
            for title, count, about, uuid in entries
        ],
        name="lists", key="roster",
    )  # fmt: skip
    if here != CHOSEN:
        new_list("New list", [], every=every, where="panel")
    with st.popover("Import, export", help=hints.EXCHANGE, key="exchange"):
        export("Export everything", None, "loupe-annotations.json")
        st.file_uploader("Import", type="json", key=FILE, on_change=gate.allowed(bring_in))
    annotations.name_box()


def show_tools(one: FeatureList) -> None:
    """Rename a list, write its note, export it, delete it."""
    with st.popover("Edit", key="edit"):
        name, note = fields(one)
        st.text_input("Name", one.name, max_chars=MOST_NAME, key=name)
        st.text_area("Note", one.note, max_chars=MOST_NOTE, key=note)
        st.button("Save", on_click=gate.allowed(save), args=(one,), key="save")
    with st.popover("Delete", key="delete"):
        st.text(f"Delete the list “{one.name}”? What is said of its features stays.")
        st.button("Delete it", on_click=gate.allowed(delete), args=(one.uuid,), key="delete-it")
    file = f"{downloads.file_name('loupe-list', one.name)}.json"
    export("Share", one.uuid, file, help=hints.SHARE)


def show(listed: Listed, items: Sequence[Named], one: FeatureList | None) -> None:
    """The features of a list (the stars, without one) below what can be done with them."""
    uuid = one.uuid if one else None
    keys = [at for key, _ in items if (at := listed.place(key))]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="list-tools"):
        view = furniture.segments(
            "View", ["cards", "arrange"], default="cards", **address.own("view"),
            label_visibility="collapsed", help=hints.ARRANGE,
        )  # fmt: skip
        said = annotations.said(listed.every)
        downloads.list_downloads(listed.run, keys, said, name=one.name if one else "stars")
        if one:
            show_tools(one)
    if not items:
        furniture.empty(hints.EMPTY_LIST if one else hints.NO_STARS)
    elif view == "arrange":
        listed.rows(items, movable=one is not None, key=f"arrange-{uuid}",
                    changed=lambda order, gone: rearrange(uuid, order, gone))  # fmt: skip
    else:
        if keys:
            listed.cards(keys)
        if len(keys) < len(items):
            listed.orphans([(key, name) for key, name in items if not listed.place(key)])


def show_list(listed: Listed, uuid: str) -> None:
    """A named list."""
    one = annotations.ask(lambda s: s.list_of(uuid), None)
    if one is None:
        furniture.empty("There is no such list: it may have been deleted. Choose another one.")
        return
    furniture.heading(one.name, f"by {one.author}")
    if one.note.strip():
        st.text(one.note)
    items = annotations.ask(lambda s: s.items_of(uuid), None) or []
    show(listed, [(item.key, item.dictionary_id) for item in items], one)


def show_chosen(
    listed: Listed, keys: list[Key], bad: Sequence[str], lists: Sequence[FeatureList]
) -> None:
    """Features that were taken here from another page, to keep in a list or to export."""
    furniture.heading("Chosen features", "Put them into a list to keep them, or export them.")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="list-tools"):
        if lists and keys:
            names = {one.uuid: f"{one.name} (by {one.author})" for one in lists}
            to = st.selectbox("List", list(names), key="lists-to", width=240,
                              format_func=names.__getitem__)  # fmt: skip
            st.button(
                "Add to it", on_click=gate.allowed(add), args=(to, keys, listed.every), key="add"
            )
        new_list("New list of them", keys, every=listed.every, where="chosen")
        downloads.list_downloads(listed.run, keys, annotations.said(listed.every))
    if keys:
        listed.cards(keys)
    else:
        furniture.empty(
            "None of the features in the address is in this run. Choose some in Browse."
        )
    if bad:
        st.caption(f"Not in this run: {markdown.plain(', '.join(bad[:20])[:400])}")


run = opening.current()
every = cached.dictionaries(run)
listed = Listed(run, every)
chosen, bad = address.asked_features()
uuid = CHOSEN if chosen or bad else address.asked_list()
panel, room = furniture.panelled("lists", "Lists")
with panel:
    lists = annotations.lists()
    stars = annotations.ask(lambda s: s.stars(annotations.author()), None) or []
    if annotations.store():
        show_panel(lists, len(stars), uuid, every)
with room:
    top = st.container()
    if SAID in st.session_state:
        st.success(st.session_state.pop(SAID))
    if uuid == CHOSEN:
        known = listed.known(chosen)
        gone = [address.feature_key(*key) for key in chosen if key not in set(known)]
        show_chosen(listed, known, [*bad, *gone], lists)
    elif not annotations.store():
        furniture.empty(hints.NO_STORE)
    elif uuid:
        show_list(listed, uuid)
    else:
        furniture.heading("My stars", f"of {annotations.author()}")
        show(listed, [(star.key, star.dictionary_id) for star in stars], None)
with top:
    failed = st.session_state.get(FAILED, [])
    for problem in dict.fromkeys(failed):
        st.warning(markdown.plain(problem))
    failed.clear()  # and never replaced: the export buttons hold this very list
    annotations.notice()
annotations.remember()
