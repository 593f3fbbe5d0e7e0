"""The features that Browse lists: found, drawn as cards or as rows, and named for files of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard import address, queries
from dashboard.bundle import opening
from dashboard.cards import feature
from dashboard.components.grid import grid
from dashboard.components.table import table
from dashboard.features import captions, search
from dashboard.records import columns
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Card, Filter, Key
from dashboard.style import numbers

TILES, TILE, STRIP, STRIP_TILE = (4, 2), 96, (6, 1), 48
NOTE = {"key": "note", "title": "", "kind": "number", "sort": None, "help": ""}
IN_TABLES = ("link", "text", "meter", "balance")
"""Forms that a table has a kind of cell for; the others are numbers there."""


@dataclass(frozen=True)
class Listing:
    """What is listed, in which order, and which page of it is shown."""

    run: opening.Run
    dictionaries: Sequence[Dictionary]
    chosen: Filter
    near: search.Query | None
    """What they are near to, which then is their order; None for that of a column."""
    sort: str
    descending: bool
    total: int
    size: int
    """Features on a page."""
    page: int
    pages: int
    of: str

    @property
    def ids(self) -> list[str]:
        return [d.dictionary_id for d in self.dictionaries]

    def found(self) -> tuple[list[Card], dict[str, str]]:
        """The cards of the page, and what is noted on each by its key."""
        connection, offset = self.run.connection, (self.page - 1) * self.size
        tiles = TILES[0] * TILES[1]
        if self.near is None:
            cards = queries.page(
                connection, self.ids, self.chosen, sort=self.sort, descending=self.descending,
                limit=self.size, offset=offset, examples=tiles,
            )  # fmt: skip
            return cards, {}
        best = search.nearest(
            self.run, self.dictionaries, self.chosen, self.near, limit=self.size, offset=offset
        )
        cards = queries.cards_at(connection, [(d, f) for d, f, _ in best], examples=tiles)
        return cards, {
            address.feature_key(d, f): f"nearness {numbers.number(score)}" for d, f, score in best
        }

    def keys(self) -> list[Key]:
        """All that the list holds, for a file of it."""
        if self.near is None:
            return queries.keys(
                self.run.connection, self.ids, self.chosen, sort=self.sort,
                descending=self.descending,
            )  # fmt: skip
        best = search.nearest(
            self.run, self.dictionaries, self.chosen, self.near, limit=self.total, offset=0
        )
        return [(name, number) for name, number, _ in best]

    def as_cards(self, cards: Sequence[Card], notes: Mapping[str, str], said: str) -> None:
        """The gallery."""
        sheets = self.run.contact(cards, tiles=TILES, tile=TILE)
        shown = self._made(feature.card, cards, sheets)
        for one in shown:
            one["note"] = notes.get(one["key"])
        grid(shown, tiles=TILES, said=said, key="cards", page=self.page, pages=self.pages,
             of=self.of)  # fmt: skip

    def as_table(
        self,
        cards: Sequence[Card],
        notes: Mapping[str, str],
        said: str,
        known: Sequence[columns.Column],
    ) -> None:
        """The same as rows, sorted by a press on a column's head; of the columns those `known`."""
        sheets = self.run.contact(cards, tiles=STRIP, tile=STRIP_TILE)
        rows = self._made(feature.row, cards, sheets)
        for one in rows:
            one["note"] = notes.get(one["key"], "")
        heads = [head(column) for column in columns.tabled() if column in known]
        order = {"by": columns.named(self.sort).title, "descending": self.descending}
        table(
            heads + ([NOTE] if notes else []), rows, order=None if notes else order, said=said,
            key="rows", page=self.page, pages=self.pages, of=self.of,
        )  # fmt: skip

    def _made(self, make: Any, cards: Sequence[Card], sheets: Sequence[str]) -> list[Any]:
        """Each card as `make` (a card or a row) has it."""
        by_id = {d.dictionary_id: d for d in self.dictionaries}
        spoken = captions.spoken(self.run, cards)
        return [
            make(c, by_id[c.dictionary_id], s, spoken=spoken.get((c.dictionary_id, c.feature_id)))
            for c, s in zip(cards, sheets, strict=True)
        ]


def head(column: columns.Column) -> dict[str, Any]:
    """The head of a column as the component `table` takes it."""
    return {
        "key": column.key, "title": column.short, "help": column.about,
        "kind": column.form if column.form in IN_TABLES else "number",
        "sort": column.title if column.sortable else None,
    }  # fmt: skip
