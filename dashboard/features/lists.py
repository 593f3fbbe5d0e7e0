"""The features of a list as cards, as rows to arrange, and those that this bundle does not hold."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboard import address, queries
from dashboard.bundle.opening import Run
from dashboard.cards import feature as feature_cards
from dashboard.components.arrange import arrange
from dashboard.components.grid import grid
from dashboard.components.table import table
from dashboard.features import captions
from dashboard.page import furniture
from dashboard.people import annotations
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Card, Key, Said
from dashboard.style import hints
from dashboard.style.numbers import number, unlabelled
from pipeline.annotations import FeatureKey

TILES, TILE, PER_PAGE = (4, 2), 96, 24
ROW_TILES, ROW_TILE, MOST_ROWS = (4, 1), 48, 200
MOST_ORPHANS = 200
COLUMNS = [
    {"key": "name", "title": "feature", "kind": "text", "help": ""},
    {"key": "why", "title": "why it is not shown", "kind": "text", "help": hints.ORPHANS},
]
Named = tuple[FeatureKey, str]
"""A feature, and its dictionary's name when it was put where it is."""
Rearranged = Callable[[list[FeatureKey], list[FeatureKey]], None]
"""What is called with the features in their new order, and with those that were taken out."""


class Listed:
    """What a bundle shows of features that the store knows."""

    def __init__(self, run: Run, every: Sequence[Dictionary]) -> None:
        self.run, self.every = run, every
        self.by_id = {d.dictionary_id: d for d in every}
        self._by_print = annotations.by_fingerprint(every)

    def place(self, key: FeatureKey) -> Key | None:
        """Where this bundle holds the feature; None where it does not."""
        found = self._by_print.get(key.fingerprint)
        if found is None or key.feature_id >= found.d_sae:
            return None
        return found.dictionary_id, key.feature_id

    def known(self, keys: Sequence[Key]) -> list[Key]:
        """Those of these features that the bundle holds."""
        return [(n, i) for n, i in keys if n in self.by_id and i < self.by_id[n].d_sae]

    def cards(self, keys: Sequence[Key]) -> None:
        """A page of the features as cards with what people say of them, in their order."""
        of = address.name_of(*keys)
        pages = max(1, -(-len(keys) // PER_PAGE))
        page = min(address.asked_page(of), pages)
        here = keys[(page - 1) * PER_PAGE : page * PER_PAGE]
        cards = self._cards_of(here)
        said = annotations.said(self.every)(here)
        sheets = self.run.contact(list(cards.values()), tiles=TILES, tile=TILE)
        top = captions.spoken(self.run, list(cards.values()))
        made = {
            at: feature_cards.card(card, self.by_id[at[0]], sheet, spoken=top.get(at))
            | {"words": _spoken(said.get(at, ()))}
            for (at, card), sheet in zip(cards.items(), sheets, strict=True)
        }
        count = f"{len(keys):,} feature" + ("" if len(keys) == 1 else "s")
        grid([made[at] for at in here if at in made], tiles=TILES, said=count, page=page,
             pages=pages, of=of, key="listed")  # fmt: skip

    def rows(self, items: Sequence[Named], *, changed: Rearranged, movable: bool, key: str) -> None:
        """The features as rows, also those that are not here; MOST_ROWS at most."""
        places = [at for feature, _ in items[:MOST_ROWS] if (at := self.place(feature))]
        cards = self._cards_of(places)
        sheets = self.run.contact(list(cards.values()), tiles=ROW_TILES, tile=ROW_TILE)
        pictures = dict(zip(cards, sheets, strict=True))
        rows = []
        for feature, name in items[:MOST_ROWS]:
            at = self.place(feature)
            card = cards.get(at) if at else None
            where = self.by_id[at[0]].short if at else name
            about = _about(card) if card else self._absence(name)
            rows.append(
                {
                    "key": f"{feature.fingerprint}:{feature.feature_id}", "about": about,
                    "title": f"{where} #{feature.feature_id}", "sheet": at and pictures.get(at),
                    "href": at and address.to_feature(*at), "sides": card and _sides(card),
                }
            )  # fmt: skip
        if len(items) > MOST_ROWS:
            st.caption(f"The first {MOST_ROWS} of {len(items):,}.")
        arrange(rows, movable=movable, key=key,
                changed=lambda order, gone: changed(_keys(order), _keys(gone)))  # fmt: skip

    def orphans(self, items: Sequence[Named]) -> None:
        """The features that this bundle does not hold, by the name that they had."""
        furniture.section(f"Another version's ({len(items):,})", hints.ORPHANS)
        rows = [
            {"name": f"{name} #{key.feature_id}", "why": self._absence(name)}
            for key, name in items[:MOST_ORPHANS]
        ]
        table(COLUMNS, rows, key="orphans")
        if len(items) > MOST_ORPHANS:
            st.caption(f"The first {MOST_ORPHANS} of them.")

    def _absence(self, name: str) -> str:
        if name in self.by_id:
            return f"of another version of {self.by_id[name].short}"
        return "of a dictionary that this run does not hold"

    def _cards_of(self, keys: Sequence[Key]) -> dict[Key, Card]:
        ids: dict[str, list[int]] = {}
        for name, feature_id in keys:
            ids.setdefault(name, []).append(feature_id)
        return {
            (name, card.feature_id): card
            for name, some in ids.items()
            for card in queries.cards_of(
                self.run.connection, name, some, examples=TILES[0] * TILES[1]
            )
        }


def _spoken(said: Sequence[Said]) -> list[str]:
    """Labels and notes as lines of a card."""
    return [f"“{one.text[:400]}” {one.author}" for one in said[:4]]


def _about(card: Card) -> str:
    pairs = card.pair_correlation
    said = "" if pairs is None else f", pair correlation {number(pairs)}"
    return f"{card.label or unlabelled(card)}{said}"


def _sides(card: Card) -> dict[str, Any] | None:
    return None if card.modality_score is None else feature_cards.sides(card.modality_score)


def _keys(names: Sequence[str]) -> list[FeatureKey]:
    """The features that rows are named after."""
    parts = [name.rpartition(":") for name in names]
    return [FeatureKey(fingerprint, int(number)) for fingerprint, _, number in parts]
