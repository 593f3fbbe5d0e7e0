"""Features to press on Steering: by search, from a list, or to begin with."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import queries
from dashboard.bundle import cached
from dashboard.bundle.opening import Run
from dashboard.components.strips import strips
from dashboard.features import filters
from dashboard.features.lists import Listed
from dashboard.people import annotations
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Card, Filter
from dashboard.records.steering import steering_best
from dashboard.steering import hints
from dashboard.steering.request import Asked
from dashboard.style import markdown
from dashboard.style.numbers import number, percent

MOST_OFFERED, TILES, TILE = 16, (2, 2), 64


@dataclass(frozen=True)
class Offers:
    """What can be added to the setting `asked`: features of the dictionaries `here`, of `every` one
    of the run."""

    run: Run
    here: Sequence[Dictionary]
    every: Sequence[Dictionary]
    asked: Asked

    def search(self) -> None:
        """Features by label or number."""
        text = st.text_input(
            "Label or number", key="steer-find", max_chars=100, type="search",
            placeholder="label or number", label_visibility="collapsed",
        )  # fmt: skip
        names = ["all", *(one.short for one in self.here)]
        of = st.selectbox("Dictionary", names, key="steer-in", help=hints.STEERABLE)
        chosen = [one for one in self.here if of in ("all", one.short)]
        text = (text or "").strip()
        if text.isascii() and text.isdigit() and len(text) < 9:
            keys = [(d.dictionary_id, int(text)) for d in chosen if int(text) < d.d_sae]
            self._offer(queries.cards_at(self.run.connection, keys[:MOST_OFFERED], examples=4))
            return
        ids = [one.dictionary_id for one in chosen]
        if text:
            named = Filter(named=filters.named(self.run, chosen, text), n_active=0)
            cards = queries.page(self.run.connection, ids, named, limit=MOST_OFFERED, examples=4)
        else:
            cards = self.labelled(ids)
        self._offer(cards[:MOST_OFFERED])
        left = [one.short for one in self.every if one not in self.here]
        if left:
            st.caption(markdown.plain(hints.NOT_STEERABLE.format(", ".join(left))))

    def labelled(self, dictionary_ids: Sequence[str]) -> list[Card]:
        """Features with a label, the first of each, none too rare to say much; where there are no
        labels, any."""
        common = Filter(n_active=16)
        found = queries.page(
            self.run.connection, dictionary_ids, common, sort="ms", limit=200, examples=4
        )
        by_label: dict[str, Card] = {}
        for card in found:
            if card.label:
                by_label.setdefault(card.label, card)
        return list(by_label.values()) or found

    def steering(self, *, most: int) -> list[Card]:
        """Features that steer, those that gain most first, the first of each label."""
        sums = cached.steered_sums(self.run)
        known = {one.dictionary_id for one in sums if one.steer}
        found = [
            row
            for one in self.here
            if one.dictionary_id in known
            for row in queries.steered(self.run.connection, one.dictionary_id)
        ]
        keys = steering_best(found)[:most]
        return queries.cards_at(self.run.connection, keys, examples=4) if keys else []

    def from_list(self) -> None:
        """Features that people put into lists, and the visitor's stars."""
        lists = {one.uuid: one.name for one in annotations.lists()}
        uuid = st.selectbox(
            "List", ["", *lists], format_func=lambda one: lists.get(one, "my stars"),
            key="steer-list",
        )  # fmt: skip
        if not uuid:
            keys = sorted(annotations.starred(self.here))
        else:
            listed = Listed(self.run, self.here)
            items = annotations.ask(lambda store: store.items_of(uuid), None) or []
            keys = [at for item in items if (at := listed.place(item.key))]
        annotations.notice()
        cards = queries.cards_at(self.run.connection, keys[:MOST_OFFERED], examples=4)
        self._offer(cards, none="None of its features can be steered here.")

    def _offer(self, cards: Sequence[Card], *, none: str = "No feature has that.") -> None:
        if not cards:
            st.caption(none)
            return
        strips([{"name": "press one to add it", "images": self.offered(cards), "wide": True}],
               key=f"steer-offer-{none[:7]}")  # fmt: skip

    def offered(self, cards: Sequence[Card]) -> list[dict[str, object]]:
        """Features to press, as images of a row of the component `strips`: each leads to the page
        with that feature added."""
        shorts = {one.dictionary_id: one.short for one in self.here}
        sheets = self.run.contact(cards, tiles=TILES, tile=TILE)
        made = []
        for card, sheet in zip(cards, sheets, strict=True):
            key = (card.dictionary_id, card.feature_id)
            name = f"{card.label or 'no label'} ({shorts[key[0]]} #{key[1]})"
            said = f"{name}, density {percent(card.density)}, MS {number(card.ms)}"
            made.append(
                {
                    "src": sheet, "caption": said, "text": card.label or f"#{key[1]}",
                    "href": self.asked.plus(key).address, "shown": key in self.asked.features,
                }
            )  # fmt: skip
        return made
