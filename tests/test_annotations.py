"""The store of what people say, on SQLite and on a real PostgreSQL."""

import itertools
import json
import multiprocessing
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from conftest import bare_main
from sqlalchemy import create_engine, text

from pipeline.annotations import (
    MOST_ITEMS,
    MOST_NAME,
    MOST_NOTE,
    Annotations,
    AnnotationsError,
    FeatureKey,
    Imported,
    Unreachable,
    default_place,
)
from pipeline.annotations.schema import METADATA
from pipeline.annotations.trials import GivenAnswer

if TYPE_CHECKING:
    from postgres import Server

NAME = "clip-demo/vision.0.resid_post/matryoshka"
A, B, C = FeatureKey("a" * 16, 3), FeatureKey("a" * 16, 4), FeatureKey("b" * 16, 3)
HOSTILE = [
    "<script>document.title='owned'</script>",
    "'; DROP TABLE stars; --",
    '=HYPERLINK("http://x")',
    "![x](http://x/y.png) $\\LaTeX$ :material/delete:",
    "日本語 \U0001f600 e\u0301 \u202e\u0007",
    "two\nlines\tand a tab\\",
]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty database can be made."""
    if request.param == "sqlite":
        return str(tmp_path / "deep" / "annotations.sqlite")
    server: Server = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
def store(place: str) -> Iterator[Annotations]:
    opened = Annotations(place)
    yield opened
    opened.close()


def in_processes(work: Callable[..., None], calls: list[tuple]) -> None:
    """Run `work` with each of `calls` in a process of its own, all at once."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(len(calls))
    running = [context.Process(target=work, args=(together, *call)) for call in calls]
    with bare_main():
        for each in running:
            each.start()
    for each in running:
        each.join(240)
    assert [each.exitcode for each in running] == [0] * len(calls)


# Stars, notes, labels


def test_stars(store: Annotations) -> None:
    for _ in range(2):
        store.star("ann", A, NAME)
    store.star("bob", A, NAME)
    store.star("ann", C, "other/name")
    assert [(s.author, s.key) for s in store.stars("ann")] == [("ann", C), ("ann", A)]
    assert {s.author for s in store.stars(fingerprints=[A.fingerprint])} == {"ann", "bob"}
    assert store.stars(fingerprints=[]) == []
    assert store.starred("ann", [A.fingerprint, C.fingerprint]) == {A, C}
    assert store.starred("ann", [C.fingerprint]) == {C} and store.starred("cy", ["a" * 16]) == set()
    star = store.stars("bob")[0]
    assert star.dictionary_id == NAME
    assert abs(datetime.now(UTC) - star.created) < timedelta(minutes=5)
    store.unstar("ann", A)
    store.unstar("ann", B)
    assert [(s.author, s.key) for s in store.stars()] == [("ann", C), ("bob", A)]


def test_a_note_is_edited_in_place(store: Annotations) -> None:
    store.write_note("ann", A, NAME, "first")
    before = store.notes_of(A)[0]
    store.write_note("ann", A, "renamed", "second")
    store.write_note("bob", A, NAME, "his")
    ann, bob = store.notes_of(A)
    assert (ann.text, ann.dictionary_id, bob.text) == ("second", "renamed", "his")
    assert ann.created == before.created and ann.changed > before.changed
    store.write_note("ann", A, NAME, "  \n ")
    assert [note.author for note in store.notes_of(A)] == ["bob"]
    assert store.notes_of(B) == []


def test_several_people_label_a_feature(store: Annotations) -> None:
    store.write_label("ann", A, NAME, "stripes")
    store.write_label("bob", A, NAME, "zebra")
    store.write_label("bob", A, NAME, "zebras")
    store.write_label("bob", C, NAME, "hooves")
    assert [label.text for label in store.labels_of(A)] == ["stripes", "zebras"]
    found = store.labels_of_many([A, B, C, A])
    assert {key: [label.text for label in labels] for key, labels in found.items()} == {
        A: ["stripes", "zebras"], C: ["hooves"],
    }  # fmt: skip
    assert store.notes_of(A) == []


def test_annotated_is_what_anybody_said_anything_of(store: Annotations) -> None:
    store.star("ann", A, NAME)
    store.write_note("bob", B, NAME, "x")
    store.write_label("cy", C, NAME, "y")
    assert store.annotated([A.fingerprint]) == {A, B}
    assert store.annotated([A.fingerprint, C.fingerprint]) == {A, B, C}
    assert store.annotated([]) == set()


def test_labels_are_found_by_a_part_of_their_text(store: Annotations) -> None:
    store.write_label("ann", A, NAME, "Zebra stripes 100%")
    store.write_label("bob", B, NAME, "Ärmel_a")
    store.write_label("bob", C, NAME, "zebra")
    both = [A.fingerprint, C.fingerprint]
    assert store.labelled("zEBRA", both) == {A, C}
    assert store.labelled("zebra", [C.fingerprint]) == {C}
    assert store.labelled("0%", both) == {A} and store.labelled("%", both) == {A}
    assert store.labelled("l_A", both) == {B} and store.labelled("_", both) == {B}
    assert store.labelled("' OR 1=1 --", both) == set()
    with pytest.raises(AnnotationsError, match=r"search: .*NUL"):
        store.labelled("a\0", both)


def test_many_keys_at_once(store: Annotations) -> None:
    keys = [FeatureKey("c" * 16, i) for i in range(1300)]
    uuid = store.create_list("many", "ann")
    assert store.add(uuid, [(key, NAME) for key in keys]) == 1300
    store.write_label("ann", keys[-1], NAME, "the last")
    store.write_label("ann", keys[0], NAME, "the first")
    assert set(store.labels_of_many(keys)) == {keys[0], keys[-1]}


@pytest.mark.parametrize("words", HOSTILE)
def test_any_text_is_stored_as_given(store: Annotations, words: str) -> None:
    store.write_note(words, A, words, words)
    store.write_label(words, A, words, words)
    uuid = store.create_list(words, words, words)
    store.add(uuid, [(A, words)])
    note, label, made = store.notes_of(A)[0], store.labels_of(A)[0], store.list_of(uuid)
    assert made is not None
    texts = {note.text, note.author, note.dictionary_id, label.text, made.name, made.note}
    assert texts == {words}
    assert store.items_of(uuid)[0].dictionary_id == words
    assert store.stars(words) == []


def test_what_cannot_be_stored_is_refused_in_one_line(store: Annotations) -> None:
    uuid = store.create_list("a list", "ann")
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: store.write_note("ann", A, NAME, "x" * (MOST_NOTE + 1)), "note: 10,001"),
        (lambda: store.write_note("ann", A, NAME, "x" * 2**20), "note: 1,048,576"),
        (lambda: store.write_label("ann", A, NAME, "x" * (MOST_NAME + 1)), "label: 201"),
        (lambda: store.write_note("ann", A, NAME, "a\0b"), "note: .*NUL"),
        (lambda: store.write_note("ann", A, NAME, "a\ud800b"), "note: .*no text"),
        (lambda: store.star("", A, NAME), "author: empty"),
        (lambda: store.star("a\0", A, NAME), "author: .*NUL"),
        (lambda: store.create_list("  ", "ann"), "name: empty"),
        (lambda: store.edit_list(uuid, name="x" * 201), "name: 201"),
        (lambda: store.edit_list("none", name="x"), "no list 'none'"),
        (lambda: store.add("none", [(A, NAME)]), "no list 'none'"),
        (lambda: store.export("none"), "no list 'none'"),
        (lambda: FeatureKey("", 1), "fingerprint"),
        (lambda: FeatureKey("a b", 1), "fingerprint"),
        (lambda: FeatureKey("a" * 65, 1), "fingerprint"),
        (lambda: FeatureKey("a", -1), "feature -1"),
        (lambda: FeatureKey("a", 2**31), "feature 2147483648"),
    ]
    for ask, sign in refused:
        with pytest.raises(AnnotationsError, match=sign) as caught:
            ask()
        assert "\n" not in str(caught.value)
    store.write_note("ann", A, NAME, "x" * MOST_NOTE)
    store.write_label("ann", A, NAME, "x" * MOST_NAME)


# Lists


def keys_of(store: Annotations, uuid: str) -> list[FeatureKey]:
    return [item.key for item in store.items_of(uuid)]


def test_lists(store: Annotations) -> None:
    zebras = store.create_list("Zebras", "ann", "all of them")
    apes = store.create_list("apes", "bob")
    assert [(made.name, made.author, made.count) for made in store.lists()] == [
        ("apes", "bob", 0), ("Zebras", "ann", 0),
    ]  # fmt: skip
    assert store.add(zebras, [(A, NAME), (B, NAME), (A, NAME)]) == 2
    assert store.add(zebras, [(B, NAME), (C, NAME)]) == 1
    assert keys_of(store, zebras) == [A, B, C]
    store.edit_list(zebras, name="Stripes")
    store.edit_list(apes, note="few")
    made = store.list_of(zebras)
    assert made is not None and (made.name, made.note, made.count) == ("Stripes", "all of them", 3)
    assert store.remove(zebras, [B, FeatureKey("d", 1)]) == 1
    assert keys_of(store, zebras) == [A, C]
    assert store.add(zebras, [(B, NAME)]) == 1
    assert keys_of(store, zebras) == [A, C, B]
    store.delete_list(zebras)
    assert store.list_of(zebras) is None
    assert store.items_of(zebras) == []
    assert [made.uuid for made in store.lists()] == [apes]
    assert store.list_of("a\0b") is None


def test_the_order_of_a_list(store: Annotations) -> None:
    uuid = store.create_list("order", "ann")
    store.add(uuid, [(A, NAME), (B, NAME), (C, NAME)])
    store.reorder(uuid, [C])
    assert keys_of(store, uuid) == [C, A, B]
    store.reorder(uuid, [C, B])
    assert keys_of(store, uuid) == [C, B, A]
    store.reorder(uuid, [A, FeatureKey("d", 1), A])
    assert keys_of(store, uuid) == [A, C, B]
    store.add(uuid, [(FeatureKey("d", 1), NAME)])
    assert keys_of(store, uuid)[-1] == FeatureKey("d", 1)


def test_a_list_is_bounded(store: Annotations) -> None:
    uuid = store.create_list("full", "ann")
    store.add(uuid, [(FeatureKey("c", i), NAME) for i in range(MOST_ITEMS)])
    with pytest.raises(AnnotationsError, match="10,000 features at most"):
        store.add(uuid, [(A, NAME)])
    assert store.add(uuid, [(FeatureKey("c", 5), NAME)]) == 0
    store.reorder(uuid, [FeatureKey("c", MOST_ITEMS - 1)])
    assert keys_of(store, uuid)[:2] == [FeatureKey("c", MOST_ITEMS - 1), FeatureKey("c", 0)]


# Export and import


def filled(store: Annotations) -> str:
    for key, words in zip((A, B, C), HOSTILE, strict=False):
        store.star("ann", key, NAME)
        store.write_note("ann", key, NAME, words)
        store.write_label("bob", key, NAME, words)
    uuid = store.create_list("mine", "ann", HOSTILE[0])
    store.add(uuid, [(C, NAME), (A, NAME), (B, NAME)])
    store.create_list("empty", "bob")
    return uuid


def test_round_trip(store: Annotations, tmp_path: Path) -> None:
    filled(store)
    made = store.export()
    other = Annotations(str(tmp_path / "other.sqlite"))
    assert other.bring_in(made) == Imported(3, 3, 3, lists=2, items=3, updated=0)
    assert other.export() == made
    assert other.bring_in(made.encode()) == Imported(0, 0, 0, 0, 0, 0)
    assert other.export() == made
    assert store.bring_in(other.export()) == Imported(0, 0, 0, 0, 0, 0)
    assert store.export() == made


def test_an_import_merges_and_the_later_text_holds(store: Annotations, tmp_path: Path) -> None:
    uuid = filled(store)
    other = Annotations(str(tmp_path / "other.sqlite"))
    other.bring_in(store.export())
    other.write_note("ann", A, NAME, "later")
    other.write_label("new", A, NAME, "more")
    other.edit_list(uuid, name="later name")
    other.add(uuid, [(FeatureKey("d", 1), NAME)])
    store.remove(uuid, [C])
    store.write_note("ann", B, NAME, "later still")
    made = other.export()
    assert store.bring_in(made) == Imported(0, 0, 1, lists=0, items=2, updated=2)
    assert [note.text for note in (*store.notes_of(A), *store.notes_of(B))] == [
        "later", "later still",
    ]  # fmt: skip
    assert keys_of(store, uuid) == [A, B, C, FeatureKey("d", 1)]
    found = store.list_of(uuid)
    assert found is not None and found.name == "later name"
    assert store.bring_in(made) == Imported(0, 0, 0, 0, 0, 0)


def test_under_a_login_an_import_writes_as_who_imports(store: Annotations, tmp_path: Path) -> None:
    """What a file says is no proof: nothing of others changes, nothing comes in their name."""
    other = Annotations(str(tmp_path / "other.sqlite"))
    for who in ("bob", "eve", "ann"):
        other.star(who, A, NAME)
        other.write_note(who, A, NAME, f"{who} of A")
        other.write_label(who, B, NAME, f"{who} of B")
    other.write_note("bob", B, NAME, "bob of B")
    other.write_note("eve", B, NAME, "eve of B")
    other.write_note("bob", C, NAME, "b" * MOST_NOTE)
    uuid = other.create_list("bob's", "bob", "as it was")
    other.add(uuid, [(A, NAME)])
    before = other.export()
    store.bring_in(before)  # as where there is no login
    other.write_note("bob", A, NAME, "put into bob's mouth")
    other.write_label("new", C, NAME, "of nobody here")
    other.edit_list(uuid, name="no longer", note="bob's")
    other.add(uuid, [(B, NAME)])
    made = other.export()
    assert store.bring_in(made, author="zoe", alone=True) == Imported(
        0, notes=3, labels=2, lists=0, items=1, updated=0, others=14
    )
    assert {(n.author, n.text) for n in (*store.notes_of(A), *store.notes_of(B))} == {
        ("bob", "bob of A"), ("eve", "eve of A"), ("ann", "ann of A"), ("bob", "bob of B"),
        ("eve", "eve of B"), ("zoe", "bob: put into bob's mouth"), ("zoe", "eve: eve of B"),
    }  # fmt: skip
    assert {n.text for n in store.notes_of(C)} == {"b" * MOST_NOTE}, "a name that does not fit"
    assert [(n.author, n.text) for n in store.labels_of(C)] == [("zoe", "of nobody here")]
    assert {star.author for star in store.stars()} == {"ann", "bob", "eve"}
    found = store.list_of(uuid)
    assert found is not None and (found.name, found.note) == ("bob's", "as it was")
    assert store.bring_in(made, author="zoe", alone=True) == Imported(0, 0, 0, 0, 0, 0, others=14)
    # One's own is as it always was: the later text holds.
    assert store.bring_in(made, author="bob", alone=True).updated == 2
    assert "put into bob's mouth" in {n.text for n in store.notes_of(A) if n.author == "bob"}
    mine = Annotations(str(tmp_path / "mine.sqlite"))
    mine.bring_in(made, author="zoe", alone=True)
    assert {one.author for one in mine.lists()} == {"zoe"}


def test_one_list_takes_what_is_said_of_its_features(store: Annotations, tmp_path: Path) -> None:
    filled(store)
    uuid = store.create_list("one", "ann")
    store.add(uuid, [(B, NAME)])
    made = json.loads(store.export(uuid))
    assert [len(made[name]) for name in ("stars", "notes", "labels", "lists")] == [0, 1, 1, 1]
    assert made["notes"][0]["feature_id"] == B.feature_id
    other = Annotations(str(tmp_path / "other.sqlite"))
    assert other.bring_in(json.dumps(made)) == Imported(0, 1, 1, lists=1, items=1, updated=0)


def changed(**parts: object) -> str:
    star = {
        "fingerprint": "a", "feature_id": 1, "dictionary_id": "m/h/d", "author": "ann",
        "created": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    return json.dumps(
        {"format": "loupe annotations", "version": 1, "stars": [star | parts]}, default=str
    )


@pytest.mark.parametrize(
    ("file", "sign"),
    [
        ("", "the file"),
        ("[]", "the file"),
        ("[" * 100_000, "the file"),
        ("PK\x03\x04", "the file"),
        ('{"format": "another"}', "format"),
        ('{"version": 2}', "version"),
        ('{"votes": []}', "votes"),
        ('{"stars": [7]}', "stars.0"),
        (changed(feature_id=-1), "stars.0.feature_id"),
        (changed(feature_id=2**40), "stars.0.feature_id"),
        (changed(feature_id="1"), "stars.0.feature_id"),
        (changed(feature_id=True), "stars.0.feature_id"),
        (changed(fingerprint="../../etc"), "stars.0.fingerprint"),
        (changed(author=""), "stars.0.author"),
        (changed(author="a\0b"), "stars.0.author.*NUL"),
        (changed(author="x" * 201), "stars.0.author"),
        (changed(created="2026-01-01T00:00:00"), "stars.0.created"),
        (changed(created="0001-01-01T00:00:00+14:00"), "stars.0.created"),
        (changed(text="a note?"), "stars.0.text"),
    ],
)
def test_a_wrong_file_is_refused_and_nothing_is_kept(
    store: Annotations, file: str, sign: str
) -> None:
    with pytest.raises(AnnotationsError, match=sign) as caught:
        store.bring_in(file)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert store.stars() == []


def test_the_right_file_is_taken(store: Annotations) -> None:
    """The counterpart of the wrong ones."""
    assert store.bring_in(changed()).stars == 1


def test_an_import_that_fails_leaves_nothing(store: Annotations) -> None:
    uuid = store.create_list("full", "ann")
    store.add(uuid, [(FeatureKey("c", i), NAME) for i in range(MOST_ITEMS)])
    made = json.loads(store.export(uuid))
    made["lists"][0]["items"] = [made["lists"][0]["items"][0] | {"fingerprint": "new"}]
    made["stars"] = json.loads(changed())["stars"]
    with pytest.raises(AnnotationsError, match="features at most"):
        store.bring_in(json.dumps(made))
    assert store.stars() == []


# The database


def test_the_migrations_make_the_schema(store: Annotations, place: str) -> None:
    url = f"sqlite:///{place}" if "://" not in place else place.replace("://", "+psycopg://")
    with create_engine(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_an_older_database_keeps_what_was_marked_as_from_elsewhere(
    store: Annotations, place: str
) -> None:
    """Of the tables of version 2, where the request was the mark, which a browser could give."""
    store.create_study("s", "{}", {0: 9, 1: 9})
    answers = [GivenAnswer(0, "x"), GivenAnswer(1, "y")]
    names = store.add_votes("s", dict.fromkeys(("imported", "restored", "posing"), answers))
    agreed, judged = (
        store.annotator_by_login("s", "https://id", who).annotator for who in ("ann", "bob")
    )
    store.consent("s", agreed)
    with store.writing() as connection:
        connection.execute(text("ALTER TABLE votes DROP COLUMN elsewhere"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
        connection.execute(text("UPDATE votes SET request = 'import'"))
        for who, name in [(names["restored"], "restored 1"), (names["posing"], "0f3a")]:
            at = {"who": who, "name": name}
            connection.execute(
                text("UPDATE votes SET request = :name WHERE annotator = :who AND trial = 1"), at
            )
        for who, number, name in [(agreed, 0, "import"), (judged, 0, "import"), (judged, 1, "b7")]:
            at = {"who": who, "number": number, "name": name}
            connection.execute(
                text(
                    "INSERT INTO trials SELECT 's', :who, :number, 0, 'trial', swapped, 'voted', "
                    "issued FROM trials LIMIT 1"
                ),
                at,
            )
            connection.execute(
                text(
                    "INSERT INTO votes SELECT 's', :who, :number, 0, 'x', :name, NULL, created "
                    "FROM votes LIMIT 1"
                ),
                at,
            )
    store.close()
    found: dict[str, list[bool]] = {}
    again = Annotations(place)
    for vote in again.votes("s"):
        found.setdefault(vote.annotator, []).append(vote.elsewhere)
    assert found == {
        names["imported"]: [True, True], names["restored"]: [True, False],
        names["posing"]: [False, False], agreed: [False], judged: [False, False],
    }  # fmt: skip
    again.close()


def test_what_is_kept_is_there_when_it_is_opened_again(place: str) -> None:
    first = Annotations(place)
    first.star("ann", A, NAME)
    first.close()
    assert [star.key for star in Annotations(place).stars()] == [A]


def test_a_newer_database_is_refused(store: Annotations, place: str) -> None:
    with store.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(AnnotationsError, match=r"newer Loupe \(tables of version 9999"):
        Annotations(place)


def test_sqlite_is_set_to_lose_nothing(tmp_path: Path) -> None:
    store = Annotations(str(tmp_path / "a.sqlite"))
    with store.reading() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert found == ["wal", 2, 1, 30_000]


def test_places_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "text.sqlite").write_text("not a database " * 100)
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE stars (x)")
    for place, sign in [
        (str(tmp_path), "unable to open"),
        (str(tmp_path / "file" / "a.sqlite"), "File exists"),
        (str(tmp_path / "text.sqlite"), "not a database"),
        (str(tmp_path / "other.sqlite"), "already exists"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("mysql://root:secret@host/x", "no database that Loupe writes"),
        ("http://example.org", "no database that Loupe writes"),
        ("://", "not a URL"),
        (f"postgresql://me:secret@/x?host={tmp_path}", "start the server"),
    ]:
        with pytest.raises(AnnotationsError, match=sign) as caught:
            Annotations(place)
        assert "LOUPE_ANNOTATIONS" in str(caught.value)
        assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_database_that_goes_away_says_so(store: Annotations, place: str) -> None:
    with store.writing() as connection:
        connection.execute(text("DROP TABLE stars"))
    for ask in (store.stars, lambda: store.star("ann", A, NAME)):
        with pytest.raises(AnnotationsError, match="cannot be used") as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_what_no_database_keeps_is_not_taken_for_a_database_that_is_away(
    store: Annotations,
) -> None:
    store.create_study("s", "{}", {0: 1})
    asks: list[Callable[[str], object]] = [
        store.study_content, store.votes, store.list_of, store.items_of, store.invite,
        lambda text: store.owns(text, "x"),
        lambda text: store.erase("s", text),
        lambda text: store.vote(text, "a", 0, "x", request="r"),
        lambda text: store.annotator_by_login(text, "https://id", "ann"),
    ]  # fmt: skip
    texts, told = ("\0", "\udcff", "a\ud800"), []
    for ask, given in itertools.product(asks, texts):
        try:
            ask(given)
        except AnnotationsError as error:
            told.append(error)
    assert [str(one) for one in told if isinstance(one, Unreachable)] == []
    assert len(told) > len(asks) and all(str(one).isprintable() for one in told)
    early = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    with pytest.raises(AnnotationsError, match="time that is too large") as caught:
        store.add_votes("s", {"ann": [GivenAnswer(0, "x", created=early)]})
    assert not isinstance(caught.value, Unreachable)


@pytest.mark.parametrize(
    "place",
    [
        "postgresql://me:not-told@/x?host=/nowhere",
        "postgresql:///x?host=/nowhere&user=me&password=not-told",
        "postgresql:///x?host=/nowhere&sslpassword=not-told&password=not-told",
    ],
)
def test_no_message_tells_a_password(place: str) -> None:
    with pytest.raises(Unreachable) as caught:
        Annotations(place)
    assert "not-told" not in str(caught.value) and "/nowhere" in str(caught.value)


def test_a_file_that_is_taken_away_is_not_written_any_more(tmp_path: Path) -> None:
    place = tmp_path / "a b?#%20.sqlite"
    store = Annotations(str(place))
    store.star("ann", A, NAME)
    away = place.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(Unreachable):
            store.star("bob", A, NAME)
        assert not place.exists(), "no empty one comes in its place"
    away.rename(place)
    store.star("bob", A, NAME)
    assert {star.author for star in store.stars()} == {"ann", "bob"}
    store.close()


def test_the_environment_names_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOUPE_ANNOTATIONS", "postgresql://host/x")
    assert default_place() == "postgresql://host/x"
    monkeypatch.delenv("LOUPE_ANNOTATIONS")
    assert default_place() == "data/annotations.sqlite"


# Several processes

EACH = 25


def write_many(together: Barrier, place: str, uuid: str, worker: int) -> None:
    store = Annotations(place)
    together.wait(200)
    for i in range(EACH):
        author = f"worker {worker}"
        store.star(author, FeatureKey("f", i), NAME)
        store.write_note(author, FeatureKey("f", i), NAME, f"{worker}: {i}")
        store.write_note("all", FeatureKey("f", 0), NAME, f"{worker}: {i}")
        store.add(uuid, [(FeatureKey("f", worker * EACH + i), NAME)])
        store.reorder(uuid, [FeatureKey("f", worker * EACH)])


def test_nothing_is_lost_when_several_write_at_once(store: Annotations, place: str) -> None:
    workers = 4
    uuid = store.create_list("together", "ann")
    in_processes(write_many, [(place, uuid, worker) for worker in range(workers)])
    stars = {(star.author, star.key.feature_id) for star in store.stars()}
    assert stars == {(f"worker {w}", i) for w in range(workers) for i in range(EACH)}
    notes = store.notes_of_many([FeatureKey("f", i) for i in range(EACH)])
    kept = {note.text for found in notes.values() for note in found if note.author != "all"}
    assert kept == {f"{w}: {i}" for w in range(workers) for i in range(EACH)}
    (last,) = (note.text for note in notes[FeatureKey("f", 0)] if note.author == "all")
    assert last.endswith(f": {EACH - 1}")
    assert {key.feature_id for key in keys_of(store, uuid)} == set(range(workers * EACH))
    with store.reading() as connection:
        rows = connection.execute(text("SELECT position FROM list_items")).scalars().all()
    assert len(set(rows)) == len(rows), "no two features share a place"


def open_and_star(together: Barrier, place: str, worker: int) -> None:
    together.wait(200)
    Annotations(place).star(f"worker {worker}", A, NAME)


def test_several_processes_open_a_fresh_database(place: str) -> None:
    in_processes(open_and_star, [(place, worker) for worker in range(4)])
    store = Annotations(place)
    assert len(store.stars()) == 4
    with store.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1
