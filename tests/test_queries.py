"""The pages' SQL on a made-up bundle, and the connection that it runs on."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import numpy as np
import pytest
from databases import connection
from synthetic import DEAD, MARKUP, SINGLE, make_bundle

from dashboard import queries
from dashboard.records import columns
from dashboard.records.features import Card, Filter
from dashboard.records.steering import steering_best
from pipeline.bundle import opening as bundle_opening
from pipeline.contract.tables import HISTOGRAM_BINS, TOP_K

SAE = "clip-demo/vision.0.resid_post/matryoshka"
NEURONS = "clip-demo/vision.0.resid_post/neurons"
EVERY = Filter(n_active=0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bundle_opening.Bundle:
    return bundle_opening.open_bundle(make_bundle(tmp_path_factory.mktemp("runs") / "demo"))


@pytest.fixture(scope="module")
def db(bundle: bundle_opening.Bundle) -> duckdb.DuckDBPyConnection:
    return connection(bundle)


def test_dictionaries_stand_in_order_of_depth(db: duckdb.DuckDBPyConnection) -> None:
    found = queries.dictionaries(db)
    assert [d.short for d in found[:4]] == [
        "vision.0 / batchtopk",
        "vision.0 / matryoshka",
        "vision.0 / neurons",
        "vision.1 / batchtopk",
    ]
    assert found[-1].short == "vision.projection / neurons"
    assert found[-1].grid_height is None
    assert all(d.ms is not None and 0 < d.ms < 1 for d in found)


def test_summaries_are_ordered_quantiles(db: duckdb.DuckDBPyConnection) -> None:
    for one in queries.summaries(db):
        spread = [one.p05, one.p25, one.p50, one.p75, one.p95]
        assert spread == sorted(spread)
        assert one.p05 <= one.mean <= one.p95
        assert one.scored > 0
        assert one.error is not None


def test_holdings(db: duckdb.DuckDBPyConnection) -> None:
    held = queries.holdings(db)
    assert (held.train, held.val, held.skipped) == (18, 54, 2)
    assert held.encoders == ("judge", "second")
    assert ("big.png", MARKUP) in queries.skipped(db)
    assert len(queries.skipped(db, limit=1)) == 1


@pytest.mark.parametrize("sort", [column.name for column in columns.sortable()])
@pytest.mark.parametrize("descending", [True, False])
def test_pages_hold_every_feature_once_in_order(
    db: duckdb.DuckDBPyConnection, sort: str, descending: bool
) -> None:
    total = queries.ms_histogram(db, [SAE], EVERY)[1]
    cards = [
        card
        for offset in range(0, total, 10)
        for card in queries.page(
            db, [SAE], EVERY, sort=sort, descending=descending, limit=10, offset=offset
        )
    ]
    assert total == 48
    assert len({card.feature_id for card in cards}) == total
    values = [getattr(card, sort) for card in cards]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=descending)
    assert values[: len(known)] == known, "features without a value come last"


@pytest.mark.parametrize(
    ("chosen", "passes"),
    [
        (Filter(ms=(0.6, None)), lambda c: c.ms is not None and c.ms >= 0.6),
        (Filter(ms=(None, 0.4)), lambda c: c.ms is not None and c.ms <= 0.4),
        (Filter(density=(0.1, 0.5)), lambda c: 0.1 <= c.density <= 0.5),
        (Filter(labels=("red", "blue")), lambda c: c.label in ("red", "blue")),
        (Filter(), lambda c: True),
        (Filter(n_active=10), lambda c: c.n_active >= 10),
        (
            Filter(modality_score=(0.2, 0.9)),
            lambda c: c.modality_score is not None and 0.2 <= c.modality_score <= 0.9,
        ),
        (
            Filter(pair_correlation=(0.3, None)),
            lambda c: c.pair_correlation is not None and c.pair_correlation >= 0.3,
        ),
        (Filter(fires_on=("pictures",)), lambda c: c.modality_score == 1),
        (
            Filter(fires_on=("both",)),
            lambda c: c.modality_score is not None and 0 < c.modality_score < 1,
        ),
    ],
)
def test_filters(
    db: duckdb.DuckDBPyConnection, chosen: Filter, passes: Callable[[Card], bool]
) -> None:
    every = queries.page(db, [SAE], EVERY, sort="feature_id", limit=200)
    wanted = {c.feature_id for c in every if c.n_active > 0 and passes(c)}
    found = queries.page(db, [SAE], chosen, sort="feature_id", limit=200)
    assert {c.feature_id for c in found} == wanted
    passed, total = queries.ms_histogram(db, [SAE], chosen)
    assert sum(passed) == sum(c.ms is not None for c in found)
    assert total == len(wanted) > 0


STEERED = "clip-demo/vision.0.resid_post/batchtopk"


@pytest.mark.parametrize("steers", [True, False])
def test_features_that_steer_and_that_do_not(db: duckdb.DuckDBPyConnection, steers: bool) -> None:
    found = queries.page(db, [STEERED], Filter(steers=steers, n_active=0), limit=200)
    tried = queries.steered(db, STEERED)
    assert {c.feature_id for c in found} == {s.feature_id for s in tried if s.steers == steers}
    assert 0 < len(found) < len(tried), "others were not tried, and are in neither list"
    scores = {s.feature_id: s.score for s in tried}
    assert all(c.steering_score == scores[c.feature_id] for c in found)


def test_the_best_that_steer_one_a_label(db: duckdb.DuckDBPyConnection) -> None:
    tried = queries.steered(db, STEERED)
    by_id = {row.feature_id: row for row in tried}
    best = [by_id[feature] for _, feature in steering_best(tried)]
    assert best and all(row.steers for row in best)
    assert [row.gain for row in best] == sorted((row.gain for row in best), reverse=True)
    for row in tried:
        if row.steers and row.label:
            (first,) = [one for one in best if one.label == row.label]
            assert first.gain >= row.gain


def test_steering_in_sum(db: duckdb.DuckDBPyConnection) -> None:
    sums = {one.dictionary_id: one for one in queries.steered_sums(db)}
    assert list(sums) == [STEERED, STEERED.replace("vision.0", "vision.1")]
    rows, one = queries.steered(db, STEERED), sums[STEERED]
    assert (one.features, one.steer) == (len(rows), sum(bool(row.steers) for row in rows))
    for name in ("score", "score_unsteered", "gain", "over_shuffled", "changed"):
        mean = np.mean([getattr(row, name) for row in rows])
        assert getattr(one, name) == pytest.approx(mean), name
    error = np.std([row.gain for row in rows], ddof=1) / np.sqrt(len(rows))
    assert one.gain_error == pytest.approx(error)
    assert queries.steering_of(db, STEERED, 2) is not None
    assert queries.steering_of(db, STEERED, 1) is None, "odd ones were not tried"


def test_features_of_words_alone_need_no_images(db: duckdb.DuckDBPyConnection) -> None:
    every = queries.page(db, [SAE], EVERY, sort="feature_id", limit=200)
    words = {c.feature_id for c in every if c.modality_score == 0}
    assert any(c.n_active == 0 for c in every if c.feature_id in words), "some fire on no image"
    found = queries.page(db, [SAE], Filter(fires_on=("words",), n_active=8), limit=200)
    assert {c.feature_id for c in found} == words
    both = queries.page(db, [SAE], Filter(fires_on=("words", "both"), n_active=8), limit=200)
    assert {c.feature_id for c in both} == words | {
        c.feature_id
        for c in every
        if c.n_active >= 8 and c.modality_score is not None and c.modality_score < 1
    }


def test_what_is_asked_for_is_data_and_not_sql(db: duckdb.DuckDBPyConnection) -> None:
    evil = "x' OR 1=1 --"
    assert queries.ms_histogram(db, [SAE], Filter(labels=(evil,)))[1] == 0
    assert queries.ms_histogram(db, [evil], EVERY)[1] == 0
    assert queries.feature(db, evil, 0) is None
    with pytest.raises(ValueError, match="name one of"):
        queries.page(db, [SAE], EVERY, sort="ms; DROP TABLE features")


def test_rows_are_bounded(db: duckdb.DuckDBPyConnection) -> None:
    assert len(queries.page(db, [SAE], EVERY, limit=10**9)) <= queries.MOST_ROWS
    assert queries.page(db, [SAE], EVERY, offset=10**9) == []
    assert queries.page(db, [SAE], EVERY, offset=-5)


def test_feature_carries_top_images_and_histogram(db: duckdb.DuckDBPyConnection) -> None:
    card = queries.page(db, [SAE], Filter(), sort="density", limit=1)[0]
    one = queries.feature(db, SAE, card.feature_id)
    assert one is not None
    assert [top.rank for top in one.top] == list(range(1, TOP_K + 1))
    acts = [top.activation for top in one.top]
    assert acts == sorted(acts, reverse=True)
    assert card.examples == [top.example_id for top in one.top[:8]]
    assert len(one.edges) == len(one.counts) + 1 == HISTOGRAM_BINS + 1
    assert sum(one.counts) == one.card.n_active
    assert all(len(top.patches) == len(top.patch_acts) for top in one.top)


def test_dead_single_and_unknown_features(db: duckdb.DuckDBPyConnection) -> None:
    dead = queries.feature(db, SAE, DEAD)
    assert dead is not None
    assert (dead.card.n_active, dead.card.ms, dead.top, dead.counts) == (0, None, [], [])
    single = queries.feature(db, SAE, SINGLE)
    assert single is not None
    assert (single.card.n_active, single.card.ms, len(single.top)) == (1, None, 1)
    assert queries.feature(db, SAE, 10**6) is None


def test_scores_of_every_encoder(db: duckdb.DuckDBPyConnection) -> None:
    for dictionary in (SAE, NEURONS):
        scores = queries.scores(db, dictionary, 1)
        assert [(s.encoder, s.is_default) for s in scores] == [("judge", True), ("second", False)]


def test_pictures_and_examples(db: duckdb.DuckDBPyConnection) -> None:
    one = queries.feature(db, SAE, 1)
    assert one is not None
    ids = [top.example_id for top in one.top]
    pictures = queries.pictures(db, ids)
    assert pictures.keys() == set(ids)
    assert all(webp[:4] == b"RIFF" for webp in pictures.values())
    known = queries.examples(db, ids)
    assert known.keys() == set(ids)
    assert queries.pictures(db, []) == {}
    assert queries.pictures(db, [-1]) == {}


def test_tag_rates_are_shares(db: duckdb.DuckDBPyConnection) -> None:
    rates = queries.tag_rates(db)
    assert abs(sum(rates.values()) - 2) < 1e-9, "each image has one colour and one shape"
    assert len(queries.tag_rates(db, limit=3)) == 3


def test_threads_share_a_connection(db: duckdb.DuckDBPyConnection) -> None:
    ids = list(range(20)) * 10
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: queries.feature(db, SAE, i), ids))
    assert [one.card.feature_id for one in found if one] == ids


def test_connection_is_read_only_and_stays_at_home(
    db: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    for sql in (
        "DELETE FROM features",
        f"SELECT * FROM read_csv('{tmp_path}/a.csv')",
        f"COPY features TO '{tmp_path}/out.csv'",
        f"ATTACH '{tmp_path}/other.duckdb'",
        "SET enable_external_access = true",
        "LOAD postgres",
    ):
        with pytest.raises(duckdb.Error):
            db.cursor().execute(sql)
    assert not (tmp_path / "out.csv").exists()


def test_an_older_bundle_has_no_relations() -> None:
    """Its tables are not there; the page leaves them out."""
    with duckdb.connect() as older:
        older.execute("CREATE TABLE cards AS SELECT 1 AS feature_id")
        assert queries.neighbors(older, SAE, 0, examples=4) == []
        assert queries.matches(older, SAE, 0, examples=4) == []
        assert queries.samples(older, SAE, 0) == []
        assert queries.artefacts(older, SAE, 0) is None


def test_relations(db: duckdb.DuckDBPyConnection) -> None:
    near = queries.neighbors(db, SAE, 5, examples=2)
    assert [(n.kind, n.card.feature_id) for n in near] == [("correlation", i) for i in (6, 7, 8)]
    assert [n.score for n in near] == sorted((n.score for n in near), reverse=True)
    found = queries.matches(db, SAE, 5, examples=2)
    every = {d.dictionary_id for d in queries.dictionaries(db)}
    assert {m.kind for m in found} == every - {SAE}
    assert all(m.kind == m.card.dictionary_id and m.overlap is not None for m in found)
    assert all(len(m.card.examples) <= 2 for m in found)
    flags = queries.artefacts(db, SAE, 5)
    assert flags is not None
    assert 0 <= flags.token_density <= 1
    assert flags.twin is None


def test_points_of_a_map(db: duckdb.DuckDBPyConnection) -> None:
    mapped = queries.mapped(db)
    assert SAE in mapped
    assert NEURONS not in mapped
    found = queries.points(db, SAE)
    rows = db.execute(
        """SELECT feature_id, ms, x FROM maps JOIN features USING (dictionary_id, feature_id)
        WHERE dictionary_id = ? AND basis = 'decoder' ORDER BY feature_id""",
        [SAE],
    ).fetchall()
    assert found.feature_id.tolist() == [row[0] for row in rows]
    assert [None if ms != ms else ms for ms in found.ms.tolist()] == [row[1] for row in rows]
    assert found.x.tolist() == [row[2] for row in rows]
    assert queries.mapped(db, basis="activations") == mapped
    together = queries.points(db, SAE, basis="activations")
    assert together.feature_id.tolist() == found.feature_id.tolist()
    assert together.y.tolist() == found.x.tolist()
    assert queries.mapped(db, basis="nothing") == []
    assert queries.points(db, "nothing").x.tolist() == []


def test_links_of_a_map(db: duckdb.DuckDBPyConnection) -> None:
    other = "clip-demo/vision.1.resid_post/matryoshka"
    ids, matches = queries.linked(db, SAE, other, threshold=0.5)
    rows = db.execute(
        """SELECT feature_id, match FROM matches WHERE dictionary_id = ? AND other_id = ?
        AND rank = 1 AND correlation >= 0.5""",
        [SAE, other],
    ).fetchall()
    assert sorted(zip(ids.tolist(), matches.tolist(), strict=True)) == sorted(rows)
    assert 0 < len(rows) < 48
    assert queries.linked(db, SAE, other, threshold=1.1)[0].tolist() == []


def test_cards_of_chosen_features(db: duckdb.DuckDBPyConnection) -> None:
    found = queries.cards_of(db, SAE, [9, 3, DEAD], examples=4)
    assert {card.feature_id for card in found} == {3, 9, DEAD}
    assert found[-1].feature_id == DEAD, "without a score it comes last"
    assert queries.cards_of(db, SAE, [], examples=4) == []


def test_two_dictionaries_side_by_side(db: duckdb.DuckDBPyConnection) -> None:
    other = "clip-demo/vision.1.resid_post/matryoshka"
    found = db.execute(
        """SELECT feature_id, match, correlation, jaccard FROM matches
        WHERE dictionary_id = ? AND other_id = ? AND rank = 1 ORDER BY correlation DESC""",
        [SAE, other],
    ).fetchall()
    live = {
        i for (i,) in db.execute(
            "SELECT feature_id FROM features WHERE dictionary_id = ? AND n_active > 0", [SAE]
        ).fetchall()
    }  # fmt: skip
    matched = {feature for feature, _, r, _ in found if r >= 0.9}
    said = queries.agreement(db, SAE, other, threshold=0.9)
    assert (said.live, said.matched) == (len(live), len(matched))
    assert said.mean == pytest.approx(sum(row[2] for row in found) / len(found))
    alone = queries.unmatched(db, SAE, [other], threshold=0.9, limit=200, offset=0)
    assert set(alone) == live - matched


def test_artefacts_are_left_out(db: duckdb.DuckDBPyConnection) -> None:
    assert queries.flags(db) == ["dense", "on_cls", "on_high_norm"], "no duplicates are made up"
    flagged = {
        i for (i,) in db.execute(
            "SELECT feature_id FROM artefacts WHERE dictionary_id = ? AND (dense OR on_cls)", [SAE]
        ).fetchall()
    }  # fmt: skip
    assert flagged
    chosen = Filter(n_active=0, without=("dense", "on_cls"))
    rest = queries.page(db, [SAE], chosen, limit=200, examples=0)
    every = queries.page(db, [SAE], EVERY, limit=200, examples=0)
    assert {c.feature_id for c in rest} == {c.feature_id for c in every} - flagged
    assert queries.ms_histogram(db, [SAE], chosen)[1] == len(rest)
    unknown = Filter(n_active=0, without=("label",))
    assert queries.ms_histogram(db, [SAE], unknown)[1] == len(every), "that is no flag"


def test_top_captions_stand_by_rank_with_their_tokens(
    db: duckdb.DuckDBPyConnection, bundle: bundle_opening.Bundle
) -> None:
    found = queries.top_captions(db, SAE, [SINGLE, DEAD, 7, 9999])
    assert list(found) == [SINGLE, 7], "by feature; of those that no caption activates none"
    said = dict(db.execute("SELECT caption_id, text FROM captions").fetchall())
    of = dict(db.execute("SELECT caption_id, example_id FROM captions").fetchall())
    for feature_id, top in found.items():
        assert [one.rank for one in top] == list(range(1, TOP_K + 1))
        acts = [one.activation for one in top]
        assert acts == sorted(acts, reverse=True)
        for one in top:
            assert (one.feature_id, one.text) == (feature_id, said[one.caption_id])
            assert one.example_id == of[one.caption_id]
            assert "".join(one.pieces) == one.text
            assert one.token in one.tokens and max(one.token_acts) == one.activation
    few = queries.top_captions(db, SAE, [7, SINGLE], count=3)
    assert few == {number: top[:3] for number, top in found.items()}


def test_what_is_spoken_is_the_beginning_of_the_strongest_caption(
    db: duckdb.DuckDBPyConnection,
) -> None:
    other = "clip-demo/vision.projection/matryoshka"
    keys = [(SAE, 7), (other, SINGLE), (SAE, DEAD), ("none", 1)]
    found = queries.spoken(db, keys, letters=6)
    assert sorted(found) == sorted(keys[:2])
    for (name, number), one in found.items():
        (top,) = queries.top_captions(db, name, [number], count=1)[number]
        assert one.text == top.text[:6]
        assert one.density == queries.modality_of(db, name, [number])[number].text_density
    many = [(SAE, number) for number in range(48)] * 10
    assert len(queries.spoken(db, [(SAE, DEAD)] * queries.MOST_ROWS + many)) == 0
    assert queries.spoken(db, []) == {}


def test_dictionaries_that_read_words_beside_pictures_are_not_two_sided(tmp_path: Path) -> None:
    bundle = bundle_opening.open_bundle(make_bundle(tmp_path / "mixed", mixed=1))
    db = connection(bundle)
    mixed = {d.dictionary_id for d in queries.dictionaries(db) if d.name == "batchtopk"}
    assert set(queries.worded(db)) - set(queries.two_sided(db)) == mixed
    said = queries.spoken(db, [(name, 7) for name in mixed])
    assert {name for name, _ in said} == mixed
    assert all(one.text and one.density is None for one in said.values())


def test_top_captions_of_one_vector_have_no_token(db: duckdb.DuckDBPyConnection) -> None:
    (top,) = queries.top_captions(db, "clip-demo/vision.projection/matryoshka", [1]).values()
    assert all(one.token is None and one.tokens == one.token_acts == [] for one in top)


def test_top_captions_are_read_as_the_dictionarys_own_model_reads_them(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "two", models=2)
    database = str(bundle_opening.open_bundle(folder).database)
    with duckdb.connect(database) as writer:
        writer.execute("""UPDATE read_captions SET pieces = '["other"]' WHERE model = 'other-1'""")
    with duckdb.connect(database, read_only=True) as db:
        ((one,),) = queries.top_captions(db, SAE, [1], count=1).values()
        ((other,),) = queries.top_captions(
            db, SAE.replace("clip-demo", "other-1"), [1], count=1
        ).values()
    assert "".join(one.pieces) == one.text
    assert other.pieces == ["other"]


def test_captions_are_counted(tmp_path: Path) -> None:
    database = str(bundle_opening.open_bundle(make_bundle(tmp_path / "counted")).database)
    with duckdb.connect(database) as db:
        db.execute("UPDATE caption_tokens SET cut = 3 WHERE rowid < 5")
        assert queries.captioned(db) == len(
            {i for (i,) in db.execute("SELECT example_id FROM captions").fetchall()}
        )
        (one,) = queries.readings(db)
        total = db.execute("SELECT count(*) FROM captions").fetchone()
    assert (one.model, (one.captions,), one.cut) == ("clip-demo", total, 5)


def test_text_histogram_counts_the_images(db: duckdb.DuckDBPyConnection) -> None:
    for number in range(12):
        edges, counts = queries.text_histogram(db, SAE, number)
        active = queries.modality_of(db, SAE, [number])[number].text_active
        assert sum(counts) == active
        assert len(edges) == (len(counts) + 1 if counts else 0)


def test_bundles_before_steering_answer_without(tmp_path: Path) -> None:
    database = str(bundle_opening.open_bundle(make_bundle(tmp_path / "older")).database)
    with duckdb.connect(database) as writer:
        writer.execute("DROP TABLE steering")
        for table in ("features", "cards"):
            for column in (c.name for c in columns.COLUMNS if c.since == "1.4"):
                writer.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    with duckdb.connect(database, read_only=True) as db:
        assert queries.steered_sums(db) == []
        assert queries.steering_of(db, STEERED, 2) is None
        (card,) = queries.cards_at(db, [(STEERED, 2)], examples=2)
        (profile,) = queries.profiles(db, [(STEERED, 2)])
    assert (card.steering_score, card.steers, len(card.examples)) == (None, None, 2)
    assert profile.feature.card.steers is None


def test_bundles_before_captions_answer_without(tmp_path: Path) -> None:
    database = str(bundle_opening.open_bundle(make_bundle(tmp_path / "older")).database)
    with duckdb.connect(database) as writer:
        for name in ("read_captions", "captions", "caption_tokens", "top_captions", "modality"):
            writer.execute(f"DROP TABLE {name}")
        for table in ("features", "cards"):
            for column in (c.name for c in columns.COLUMNS if c.since == "1.3"):
                writer.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    with duckdb.connect(database, read_only=True) as db:
        assert queries.top_captions(db, SAE, [1]) == {}
        assert (queries.captioned(db), queries.readings(db)) == (None, [])
        found = queries.feature(db, SAE, 1)
        (card,) = queries.cards_at(db, [(SAE, 1)], examples=2)
        (profile,) = queries.profiles(db, [(SAE, 1)])
    assert found and found.card.modality_score is None and found.top
    assert (card.pair_correlation, len(card.examples)) == (None, 2)
    assert (profile.modality, profile.captions) == (None, [])
