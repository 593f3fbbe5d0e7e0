"""Features to press on Steering: by search, from a list, or to begin with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from dashboard import filters, people, queries, widgets
from dashboard import words_steering as words
from dashboard.components.strips import strips
from dashboard.listed import Listed
from dashboard.numbers import number, percent
from dashboard.records import Card, Filter

if TYPE_CHECKING:
    from dashboard.views.steering_form import Form

MOST_OFFERED, TILES, TILE = 16, (2, 2), 64


def search(form: "Form") -> None:
    """Features by label or number."""
    text = st.text_input(
        "Label or number", key="steer-find", max_chars=100, type="search",
        placeholder="label or number", label_visibility="collapsed",
    )  # fmt: skip
    names = ["all", *(one.short for one in form.here)]
    of = st.selectbox("Dictionary", names, key="steer-in", help=words.STEERABLE)
    chosen = [one for one in form.here if of in ("all", one.short)]
    text = (text or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 9:
        keys = [(d.dictionary_id, int(text)) for d in chosen if int(text) < d.d_sae]
        _offer(form, queries.cards_at(form.run.connection, keys[:MOST_OFFERED], examples=4))
        return
    ids = [one.dictionary_id for one in chosen]
    if text:
        named = Filter(named=filters.named(form.run, chosen, text), n_active=0)
        cards = queries.page(form.run.connection, ids, named, limit=MOST_OFFERED, examples=4)
    else:
        cards = labelled(form, ids)
    _offer(form, cards[:MOST_OFFERED])
    left = [one.short for one in form.every if one not in form.here]
    if left:
        st.caption(widgets.plain(words.NOT_STEERABLE.format(", ".join(left))))


def labelled(form: "Form", dictionary_ids: Sequence[str], *, sort: str = "ms") -> list[Card]:
    """Features with a label, the first of each, none too rare to say much; where there are no
    labels, any."""
    common = Filter(n_active=16)
    found = queries.page(
        form.run.connection, dictionary_ids, common, sort=sort, limit=200, examples=4
    )
    by_label: dict[str, Card] = {}
    for card in found:
        if card.label:
            by_label.setdefault(card.label, card)
    return list(by_label.values()) or found


def from_list(form: "Form") -> None:
    """Features that people put into lists, and the visitor's stars."""
    lists = {one.uuid: one.name for one in people.lists()}
    uuid = st.selectbox(
        "List", ["", *lists], format_func=lambda one: lists.get(one, "my stars"),
        key="steer-list",
    )  # fmt: skip
    if not uuid:
        keys = sorted(people.starred(form.here))
    else:
        listed = Listed(form.run, form.here)
        items = people.ask(lambda store: store.items_of(uuid), None) or []
        keys = [at for item in items if (at := listed.place(item.key))]
    people.notice()
    cards = queries.cards_at(form.run.connection, keys[:MOST_OFFERED], examples=4)
    _offer(form, cards, none="None of its features can be steered here.")


def _offer(form: "Form", cards: Sequence[Card], *, none: str = "No feature has that.") -> None:
    if not cards:
        st.caption(none)
        return
    strips([{"name": "press one to add it", "images": offered(form, cards), "wide": True}],
           key=f"steer-offer-{none[:7]}")  # fmt: skip


def offered(form: "Form", cards: Sequence[Card]) -> list[dict[str, object]]:
    """Features to press, as images of a row of the component `strips`: each leads to the page with
    that feature added."""
    sheets = form.run.contact(cards, tiles=TILES, tile=TILE)
    made = []
    for card, sheet in zip(cards, sheets, strict=True):
        key = (card.dictionary_id, card.feature_id)
        name = f"{card.label or 'no label'} ({form.by_id[key[0]].short} #{key[1]})"
        said = f"{name}, density {percent(card.density)}, MS {number(card.ms)}"
        made.append(
            {
                "src": sheet, "caption": said, "text": card.label or f"#{key[1]}",
                "href": form.asked.plus(key).address, "shown": key in form.asked.features,
            }
        )  # fmt: skip
    return made
