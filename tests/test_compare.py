"""Compare: its queries on a made-up bundle, and its states, run without a browser."""

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import duckdb
import pytest
from databases import connection
from pages import data, open_page, shows
from streamlit.testing.v1 import AppTest
from synthetic import DEAD, MARKUP, SINGLE, make_bundle

from dashboard import address, queries
from pipeline.bundle import opening as bundle_opening

HERE = "clip-demo/vision.0.resid_post/matryoshka"
NEXT = "clip-demo/vision.1.resid_post/matryoshka"
LAST = "clip-demo/vision.projection/matryoshka"
NEURONS = "clip-demo/vision.0.resid_post/neurons"
THRESHOLD = 0.8
Database = duckdb.DuckDBPyConnection
Opened = Callable[..., AppTest]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def db(run: Path) -> Database:
    return connection(run)


@pytest.fixture
def opened(run: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """opened(PARAMETER=VALUE..., path=RUN): Compare, run once."""

    def start(*, path: Path = run, **parameters: str | list[str]) -> AppTest:
        return open_page(monkeypatch, path, "compare", **parameters)

    return start


def said(at: AppTest) -> str:
    assert not at.exception, at.exception
    return "\n".join(each.proto.body for each in [*at.get("html"), *at.warning])


def best(db: Database, one: str, other: str) -> dict[int, tuple[int, float]]:
    """Each live feature's (best match, correlation), told from the table of all matches."""
    rows = db.execute(
        """SELECT m.feature_id, match, correlation FROM matches m
        JOIN features USING (dictionary_id, feature_id)
        WHERE dictionary_id = ? AND other_id = ? AND rank = 1 AND n_active > 0""",
        [one, other],
    ).fetchall()
    return {feature: (match, float(r)) for feature, match, r in rows}


def live(db: Database, one: str) -> set[int]:
    sql = "SELECT feature_id FROM features WHERE dictionary_id = ? AND n_active > 0"
    return {i for (i,) in db.execute(sql, [one]).fetchall()}


def ms(db: Database, one: str) -> dict[int, float | None]:
    sql = "SELECT feature_id, ms FROM features WHERE dictionary_id = ?"
    return dict(db.execute(sql, [one]).fetchall())


def found(db: Database, one: str, other: str) -> set[int]:
    return {f for f, (_, r) in best(db, one, other).items() if r >= THRESHOLD}


@pytest.mark.parametrize("sort", queries.ORDERS)
def test_aligned_rows_hold_each_matched_feature_once_in_order(db: Database, sort: str) -> None:
    others = [NEXT, NEURONS, LAST]
    rows = [
        row
        for offset in range(0, 60, 7)
        for row in queries.aligned(
            db, HERE, others, threshold=THRESHOLD, sort=sort, limit=7, offset=offset
        )
    ]
    matches = [best(db, HERE, other) for other in others]
    matched = set().union(*(found(db, HERE, other) for other in others))
    assert 0 < len(matched) < len(live(db, HERE))
    assert sorted(row.feature_id for row in rows) == sorted(matched)
    for row in rows:
        for pair, there in zip(row.pairs, matches, strict=True):
            assert pair is not None
            assert (pair.match, pair.correlation) == there[row.feature_id]
    scores, others_ms = ms(db, HERE), [ms(db, other) for other in others]

    def rank(row) -> float:
        total = sum(pair.correlation for pair in row.pairs)
        held = [pair.correlation >= THRESHOLD for pair in row.pairs]
        apart = [
            abs(scores[row.feature_id] - theirs[pair.match])
            for pair, theirs, on in zip(row.pairs, others_ms, held, strict=True)
            if on and scores[row.feature_id] is not None and theirs[pair.match] is not None
        ]
        values = {
            "correlation": total, "ms": scores[row.feature_id], "found": sum(held) + total / 10,
            "difference": max(apart, default=None),
        }  # fmt: skip
        return -1.0 if values[sort] is None else values[sort]

    ranks = [rank(row) for row in rows]
    assert ranks == pytest.approx(sorted(ranks, reverse=True))
    assert len(set(ranks)) > 2


def test_a_list_is_sorted_by_known_orders_only(db: Database) -> None:
    with pytest.raises(ValueError, match="name one of correlation"):
        queries.aligned(db, HERE, [NEXT], threshold=0.5, sort="ms; DROP", limit=1, offset=0)


def test_unmatched_is_what_no_other_dictionary_has(db: Database) -> None:
    for others in ([NEXT], [NEXT, NEURONS]):
        expected = live(db, HERE).difference(*(found(db, HERE, other) for other in others))
        at = {"threshold": THRESHOLD}
        ids = queries.unmatched(db, HERE, others, limit=200, offset=0, **at)
        assert len(ids) == len(set(ids)) == queries.count_unmatched(db, HERE, others, **at)
        assert set(ids) == expected
        scores = [score for i in ids if (score := ms(db, HERE)[i]) is not None]
        assert scores == sorted(scores, reverse=True)


def test_bands_part_the_live_features_of_a_layer(db: Database) -> None:
    before, after = found(db, NEXT, HERE), found(db, NEXT, LAST)
    everything = live(db, NEXT)
    expected = {
        "through": before & after, "starts": after - before, "ends": before - after,
        "alone": everything - before - after,
    }  # fmt: skip
    assert all(expected.values())
    at = {"before": HERE, "after": LAST, "threshold": THRESHOLD}
    counted = queries.bands(db, NEXT, **at)
    for name, ids in expected.items():
        assert getattr(counted, name) == len(ids)
        assert set(queries.of_band(db, NEXT, band=name, limit=200, offset=0, **at)) == ids
    first = queries.bands(db, HERE, before=None, after=NEXT, threshold=THRESHOLD)
    assert (first.before, first.after) == (0, len(found(db, HERE, NEXT)))
    assert first.live == len(live(db, HERE))


def test_merges_are_features_that_share_their_best_match(db: Database) -> None:
    matches = best(db, HERE, NEXT)
    targets = Counter(matches[i][0] for i in found(db, HERE, NEXT))
    shared = {target: n for target, n in targets.items() if n > 1}
    assert shared
    said = queries.merges(db, HERE, NEXT, threshold=THRESHOLD)
    assert (said.features, said.targets) == (sum(shared.values()), len(shared))
    rows = queries.merged(db, HERE, NEXT, threshold=THRESHOLD, limit=200, offset=0)
    assert len(rows) == said.features
    order = [row.pairs[0].match for row in rows]
    assert {target: order.count(target) for target in order} == shared
    assert len(list(itertools.groupby(order))) == said.targets, "those of one match together"
    nothing = queries.merges(db, HERE, NEXT, threshold=1.1)
    assert (nothing.features, nothing.targets) == (0, 0)


def test_density_is_counted_by_its_logarithm(db: Database) -> None:
    counts = queries.density_histogram(db, HERE)
    assert len(counts) == queries.DENSITY_BINS
    assert sum(counts) == len(live(db, HERE))
    # One of 54 val images: 1 + log10(1/54) / 6 of the way from 1e-6 to 1.
    single = int((1 - 1.7324 / 6) * queries.DENSITY_BINS)
    assert counts[single] >= 1, f"#{SINGLE} fires on one image"
    assert not any(counts[:single])


def test_ties_name_neighbours_and_matches_among_the_chosen(db: Database) -> None:
    match, r = best(db, HERE, NEXT)[1]
    ties = queries.ties(db, [(HERE, 1), (HERE, 2), (NEXT, match), (NEURONS, 0)])
    found = {(tie.one, tie.other, tie.kind): tie.score for tie in ties}
    assert found[(HERE, 1), (NEXT, match), "match"] == r
    assert ((HERE, 1), (HERE, 2), "correlation") in found
    assert all(one != other for one, other, _ in found)


def test_an_older_bundle_without_the_table_of_best_matches_tells_the_same(
    db: Database, tmp_path: Path
) -> None:
    path = make_bundle(tmp_path / "older")
    file = str(bundle_opening.open_bundle(path).database)
    with duckdb.connect(file) as writer:
        writer.execute("DROP TABLE best_matches")
    older = connection(path)
    asks = [
        lambda c: queries.agreement(c, HERE, NEXT, threshold=THRESHOLD),
        lambda c: queries.aligned(c, HERE, [NEXT, LAST], threshold=0.5, limit=9, offset=0),
        lambda c: queries.count_unmatched(c, HERE, [NEXT], threshold=THRESHOLD),
        lambda c: queries.bands(c, NEXT, before=HERE, after=LAST, threshold=THRESHOLD),
        lambda c: queries.merged(c, HERE, NEXT, threshold=THRESHOLD, limit=9, offset=0),
    ]
    for ask in asks:
        assert ask(older) == ask(db)


def test_columns_open_on_the_best_sae_and_its_next_layer(opened: Opened) -> None:
    at = opened()
    names = at.multiselect(key="columns").value
    assert len(names) == 2
    assert len({name.split(" / ")[1] for name in names}) == 1
    shown = data(at, "aligned")
    assert [head["name"] for head in shown["heads"]] == names
    assert shown["rows"]


def test_three_columns_are_aligned_row_by_row(opened: Opened) -> None:
    names = ["vision.0 / matryoshka", "vision.0 / neurons", "vision.projection / batchtopk"]
    at = opened(columns=names, threshold="0.8")
    shown = data(at, "aligned")
    assert [head["name"] for head in shown["heads"]] == names
    cells = [cell for row in shown["rows"] for cell in row[1:]]
    for row in shown["rows"]:
        assert row[0]["where"] == names[0]
        assert any("none" not in cell for cell in row[1:])
        for cell, name in zip(row[1:], names[1:], strict=True):
            if "none" in cell:
                assert float(cell["about"].split()[-1]) < 0.8
            else:
                assert cell["where"] == name
                assert float(cell["note"].split()[1].strip(",")) >= 0.8
    at.selectbox(key="rows-by").set_value("ms").run()
    scores = [row[0]["ms"] for row in data(at, "aligned")["rows"]]
    assert scores == sorted(scores, reverse=True)
    matrix = data(at, "matrix")
    assert [head["name"] for head in matrix["heads"]] == names
    assert [cell["text"].endswith("%") for cell in matrix["cells"][0]] == [False, True, True]
    assert cells


def test_files_hold_more_than_pages_do(tmp_path: Path) -> None:
    large = connection(make_bundle(tmp_path / "large", d_sae=300))
    at = {"threshold": 0.01, "offset": 0, "limit": 10**9}
    matched = {row.feature_id for row in queries.aligned(large, HERE, [NEXT], **at)}
    assert len(matched) > queries.MOST_ROWS
    assert matched | set(queries.unmatched(large, HERE, [NEXT], **at)) == live(large, HERE)


def test_tables_have_their_files(opened: Opened) -> None:
    def files(at: AppTest) -> set[str]:
        assert not at.exception, at.exception
        keys = [each.proto.id for each in at.get("download_button")]
        return {name for name in ("shares", "rows", "alone") if any(name in key for key in keys)}

    names = ["vision.0 / matryoshka", "vision.1 / matryoshka"]
    assert files(opened(columns=names)) == {"shares", "rows"}
    at = opened(columns=names, threshold="0.8")
    at.segmented_control(key="show").set_value(f"only-{HERE}").run()
    assert files(at) == {"shares", "alone"}
    flow = {"look": "Flow", "line": "matryoshka", "threshold": "0.8"}
    assert files(opened(**flow)) == files(opened(**flow, part="0-merged")) == {"rows"}
    assert files(opened(**flow, part="1-alone")) == {"alone"}


def test_columns_show_what_each_has_alone(opened: Opened) -> None:
    names = ["vision.0 / matryoshka", "vision.1 / matryoshka"]
    at = opened(columns=names, threshold="0.8")
    options = at.segmented_control(key="show").options
    assert options == ["matched", *(f"only in {name}" for name in names)]
    for dictionary, name in ((HERE, names[0]), (NEXT, names[1])):
        at.segmented_control(key="show").set_value(f"only-{dictionary}").run()
        assert {card["where"] for card in data(at, "grid")["cards"]} == {name}


def test_distributions_of_density(opened: Opened) -> None:
    at = opened()
    before = at.get("vega_lite_chart")[0].proto.spec
    at.segmented_control(key="spread").set_value("density").run()
    after = at.get("vega_lite_chart")[0].proto.spec
    assert '"type": "log"' in after
    assert '"type": "log"' not in before


def test_presets_lead_to_layer_neurons_and_other_sae(opened: Opened) -> None:
    at = opened(columns=["vision.0 / matryoshka", "vision.0 / batchtopk"])
    links = {link["text"]: link["about"] for link in data(at, "chips")["links"]}
    assert links == {
        "next layer": "vision.0 / matryoshka, vision.1 / matryoshka",
        "nearest layers": "vision.0 / matryoshka, vision.1 / matryoshka, "
        "vision.projection / matryoshka",
        "neurons here": "vision.0 / matryoshka, vision.0 / neurons",
    }


def test_one_column_or_none_says_what_to_do(opened: Opened) -> None:
    at = opened()
    at.multiselect(key="columns").set_value(["vision.0 / matryoshka"]).run()
    assert "Choose two or more dictionaries" in said(at)
    at.multiselect(key="columns").set_value([]).run()
    assert "Choose two or more dictionaries" in said(at)
    assert not shows(at, "aligned")


def test_the_same_dictionary_twice_in_the_address_is_one(opened: Opened) -> None:
    at = opened(columns=["vision.0 / neurons", "vision.0 / neurons", "nowhere / nothing"])
    assert not at.exception
    names = at.multiselect(key="columns").value
    assert len(names) == len(set(names))


def test_nothing_matched_says_so(opened: Opened, tmp_path: Path) -> None:
    path = make_bundle(tmp_path / "strangers")
    with duckdb.connect(str(bundle_opening.open_bundle(path).database)) as writer:
        writer.execute("UPDATE best_matches SET correlation = 0.01")
    at = opened(path=path)
    assert "is found again from correlation 0.5 on" in said(at)
    at = opened(path=path, look="Flow")
    assert "No feature is found again here" in said(at)
    drawn = data(at, "flow")
    assert {(link["out"], link["in"], link["merged"]) for link in drawn["links"]} == {(0, 0, None)}


@pytest.mark.parametrize("table", ["matches", "dictionaries"])
def test_without_matches_or_a_second_dictionary(opened: Opened, tmp_path: Path, table: str) -> None:
    path = make_bundle(tmp_path / "less", layers=1)
    with duckdb.connect(str(bundle_opening.open_bundle(path).database)) as writer:
        if table == "matches":
            writer.execute("DROP TABLE matches")
            writer.execute("DROP TABLE best_matches")
        else:
            writer.execute("DELETE FROM dictionaries WHERE dictionary_id != ?", [HERE])
    assert "There is nothing to compare" in said(opened(path=path))
    assert "There is nothing to compare" in said(opened(path=path, look="Flow"))
    at = opened(path=path, features=f"{HERE}:1~{HERE}:2")
    assert len(data(at, "chosen")["features"]) == 2


def test_flow_counts_what_flows(opened: Opened, db: Database) -> None:
    at = opened(look="Flow", line="matryoshka", threshold="0.8")
    drawn = data(at, "flow")
    assert [layer["name"] for layer in drawn["layers"]] == [
        "vision.0", "vision.1", "vision.projection",
    ]  # fmt: skip
    for layer in drawn["layers"]:
        assert sum(band["count"] for band in layer["bands"]) == layer["live"]
    assert [(link["out"], link["in"]) for link in drawn["links"]] == [
        (len(found(db, HERE, NEXT)), len(found(db, NEXT, HERE))),
        (len(found(db, NEXT, LAST)), len(found(db, LAST, NEXT))),
    ]
    assert drawn["chosen"] == "0-next"
    assert [head["name"] for head in data(at, "aligned")["heads"]] == [
        "vision.0 / matryoshka", "vision.1 / matryoshka",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["through", "starts", "ends", "alone"])
def test_flow_lists_the_features_of_a_band(opened: Opened, db: Database, kind: str) -> None:
    at = opened(look="Flow", line="matryoshka", threshold="0.8", part=f"1-{kind}")
    listed = {card["id"] for card in data(at, "grid")["cards"]}
    around = {"before": HERE, "after": LAST, "threshold": THRESHOLD}
    assert listed == set(queries.of_band(db, NEXT, band=kind, limit=24, offset=0, **around))


def test_flow_lists_merges_and_outlives_any_part(opened: Opened) -> None:
    address = {"look": "Flow", "line": "matryoshka", "threshold": "0.8"}
    at = opened(**address, part="0-merged")
    rows = data(at, "aligned")["rows"]
    assert rows[0][1]["id"] == rows[1][1]["id"], "two features beside their one match"
    for part in ("99-next", "x", "0-nothing", "-", "2-next"):
        assert data(opened(**address, part=part), "flow")["chosen"] == "0-next"


def test_models_are_compared_with_each_other(opened: Opened, tmp_path: Path) -> None:
    path = make_bundle(tmp_path / "two", models=2, layers=1)
    at = opened(
        path=path, columns=["clip-demo vision.0 / matryoshka", "other-1 vision.0 / neurons"]
    )
    shown = data(at, "aligned")
    assert [head["name"] for head in shown["heads"]] == at.multiselect(key="columns").value
    assert {row[1].get("where", "other-1 vision.0 / neurons") for row in shown["rows"]} == {
        "other-1 vision.0 / neurons"
    }
    links = {link["text"]: link["about"] for link in data(at, "chips")["links"]}
    assert links["other model"] == "clip-demo vision.0 / matryoshka, other-1 vision.0 / matryoshka"
    at = opened(path=path, look="Flow")
    assert {name.rsplit(" ")[0] for name in at.selectbox(key="line").options} == {
        "clip-demo", "other-1",
    }  # fmt: skip


def test_chosen_features_side_by_side(opened: Opened) -> None:
    at = opened(features=f"{HERE}:1~{HERE}:2~{NEURONS}:0")
    columns = data(at, "chosen")["features"]
    assert [(one["where"], one["id"]) for one in columns] == [
        ("vision.0 / matryoshka", 1), ("vision.0 / matryoshka", 2), ("vision.0 / neurons", 0),
    ]  # fmt: skip
    assert len(columns[2]["images"]) == 16
    shown = [{image["id"] for image in one["images"]} for one in columns]
    for one, column in enumerate(columns):
        for image in column["images"]:
            also = [i for i, ids in enumerate(shown) if i != one and image["id"] in ids]
            names = [f"{columns[i]['where']} #{columns[i]['id']}" for i in also]
            assert image["shared"] == names
    assert any(image["shared"] for one in columns for image in one["images"])
    cells = data(at, "matrix")["cells"]
    assert cells[0][1]["text"].startswith(f"{len(shown[0] & shown[1])} shared, r 0.")
    assert (
        cells[0][2]["text"] == f"{len(shown[0] & shown[2])} shared" or "r " in cells[0][2]["text"]
    )


def test_the_address_of_chosen_features_brings_them_back(opened: Opened) -> None:
    keys = [(HERE, 1), (NEURONS, 0), (NEXT, 4)]
    to = urlsplit(address.to_compare(keys))
    assert to.path == "compare"
    columns = data(opened(features=parse_qs(to.query)["features"][0]), "chosen")["features"]
    assert [one["key"] for one in columns] == [f"{name}:{i}" for name, i in keys]


def test_chosen_features_that_are_none_are_named_and_the_rest_goes_on(opened: Opened) -> None:
    bad = f"nonsense~{HERE}:999~a/b/{MARKUP}:3~{HERE}:x"
    at = opened(features=f"{HERE}:{DEAD}~{bad}~{HERE}:{SINGLE}")
    assert [one["id"] for one in data(at, "chosen")["features"]] == [DEAD, SINGLE]
    assert [len(one["images"]) for one in data(at, "chosen")["features"]] == [0, 1]
    (line,) = [warning.value for warning in at.warning]
    for text in ("nonsense", "999", "x"):
        assert text in line
    assert "![x](" not in line, "no picture is loaded"


def test_chosen_features_none_one_or_too_many(opened: Opened) -> None:
    assert "Choose features in Browse" in said(opened(features="nonsense"))
    at = opened(features=f"{HERE}:1")
    assert len(data(at, "chosen")["features"]) == 1
    assert not shows(at, "matrix")
    beyond = f"~{HERE}:999"
    at = opened(features="~".join(f"{HERE}:{i}" for i in range(10, 17)) + beyond)
    assert not at.warning, "what is beyond the most is not looked for"
    assert len(data(at, "chosen")["features"]) == 6
    assert any("2 more are left out" in caption.value for caption in at.caption)
    assert at.segmented_control(key="look").options == ["Chosen features", "Dictionaries", "Flow"]
