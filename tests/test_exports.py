"""Files that leave the dashboard: read back, opened in a browser, looked at as pictures."""

import csv
import gzip
import html
import io
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, START_SECONDS, answers, free_port
from PIL import Image
from synthetic import DEAD, MARKUP, SINGLE, make_bundle

from dashboard import queries
from dashboard.exports import card, fonts, section
from dashboard.exports.card import card_png
from dashboard.exports.document import feature_json
from dashboard.exports.neuronpedia import neuronpedia_json, neuronpedia_zip, source
from dashboard.exports.pictures import VEIL, heat_map, opened
from dashboard.exports.report import report
from dashboard.exports.rows import found_again, matches
from dashboard.exports.tables import csv_bytes, parquet_bytes
from dashboard.page.downloads import file_name
from dashboard.records.dictionaries import Agreement
from dashboard.records.features import Card, Said
from dashboard.records.matches import Aligned, Pair
from dashboard.records.profile import Profile
from dashboard.style import hints
from pipeline.bundle import opening

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SAE = "clip-demo/vision.0.resid_post/matryoshka"
FLAT = "clip-demo/vision.projection/matryoshka"
HOSTILE = 7
"""The feature that the made-up bundle labels with markup."""
MANIFEST = {
    "title": f"Run {MARKUP}", "name": "made-up", "key": "0123", "contract": "1.1",
    "versions": {"python": MARKUP}, "config": {"note": MARKUP, "machine": {"device": "secret"}},
}  # fmt: skip
MADE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[queries.Connection]:
    run = make_bundle(tmp_path_factory.mktemp("runs") / "made-up")
    with duckdb.connect(str(opening.open_bundle(run).database), read_only=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def profiles(connection: queries.Connection) -> dict[tuple[str, int], Profile]:
    keys = [(name, number) for name in (SAE, FLAT) for number in (0, DEAD, SINGLE, HOSTILE)]
    return {p.key: p for p in queries.profiles(connection, keys)}


# --- what files are made from ---------------------------------------------------------------------


def one_id(profile: Profile) -> tuple[str, list[int]]:
    return profile.key[0], [profile.key[1]]


def test_profiles_hold_what_the_pages_show(connection: queries.Connection) -> None:
    keys = [(SAE, HOSTILE), (FLAT, SINGLE), (SAE, DEAD), ("none/of/these", 0), (SAE, 4096)]
    found = queries.profiles(connection, keys)
    assert [p.key for p in found] == keys[:3]
    for p in found:
        assert p.feature == queries.feature(connection, *p.key)
        assert p.scores == queries.scores(connection, *p.key)
        assert p.artefacts == queries.artefacts(connection, *p.key)
        for mine, theirs in (
            (p.neighbors, queries.neighbors(connection, *p.key, examples=0)),
            (p.matches, queries.matches(connection, *p.key, examples=0)),
        ):
            assert mine == theirs and mine
        ids = [t.example_id for t in p.feature.top]
        assert p.pictures == queries.pictures(connection, ids)
        assert p.captions == queries.top_captions(connection, *one_id(p)).get(p.key[1], [])
        assert p.modality == queries.modality_of(connection, *one_id(p))[p.key[1]]
        ids += [one.example_id for one in p.captions]
        assert p.examples == queries.examples(connection, ids)
        assert p.sha256 == {i: f"{i:064x}" for i in ids}
    assert (found[0].name, found[0].place is None) == ("vision.0 / matryoshka #7", False)


def test_profiles_are_bounded(connection: queries.Connection) -> None:
    sae = [d.dictionary_id for d in queries.dictionaries(connection) if d.basis == "sae"]
    keys = [(name, number) for name in sae for number in range(48)]
    found = queries.profiles(connection, keys)
    assert [p.key for p in found] == keys[: queries.MOST_ROWS]
    assert queries.profiles(connection, []) == []


def test_words_alone_are_not_called_dead(connection: queries.Connection) -> None:
    (one,) = queries.profiles(connection, [(SAE, DEAD)])
    flags = queries.artefacts(connection, *one.key)
    assert flags is not None
    dead = replace(one, artefacts=replace(flags, dead=True, dense=True))
    (other,) = queries.profiles(connection, [(SAE, SINGLE)])
    wordy = replace(dead, captions=other.captions)
    for profile, name in ((dead, "dead"), (wordy, "words only")):
        made = section._facts(profile) + section._flags(profile)
        assert f">{name}</span>" in made
        assert ("dead:" in made, "dense:" in made) == (name == "dead", True)


# --- tables ---------------------------------------------------------------------------------------


def read_csv(made: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(made.decode("utf-8-sig"), newline="")))


def test_cards_come_back_equal(connection: queries.Connection) -> None:
    keys = [(SAE, number) for number in (HOSTILE, DEAD, SINGLE, 0)]
    cards = queries.cards_at(connection, keys, examples=4)
    assert [Card(**row) for row in pq.read_table(io.BytesIO(parquet_bytes(cards))).to_pylist()] == (
        cards
    )
    for row, one in zip(read_csv(csv_bytes(cards)), cards, strict=True):
        assert row["label"] == (one.label or "")
        assert json.loads(row["examples"]) == one.examples
        assert int(row["feature_id"]) == one.feature_id
        assert [float(row[n]) for n in ("max", "mean", "density")] == [
            one.max, one.mean, one.density,
        ]  # fmt: skip
        assert row["ms"] == "" if one.ms is None else float(row["ms"]) == one.ms


@pytest.mark.parametrize("read", ["pandas", "pyarrow", "duckdb"])
def test_table_comes_back_equal(connection: queries.Connection, read: str, tmp_path: Path) -> None:
    keys = [(SAE, number) for number in range(47, -1, -1)]
    table = queries.table(connection, keys)
    assert table["feature_id"].to_pylist() == [number for _, number in keys]
    assert pq.read_table(io.BytesIO(parquet_bytes(table))).equals(table)
    file = tmp_path / "features.csv"
    file.write_bytes(csv_bytes(table))
    assert file.read_bytes().startswith(b"\xef\xbb\xbfmodel,")  # the mark that spreadsheets need
    if read == "pandas":
        back = pa.Table.from_pandas(pd.read_csv(file), preserve_index=False)
    elif read == "pyarrow":
        options = pa.csv.ParseOptions(newlines_in_values=True)
        back = pa.csv.read_csv(file, parse_options=options)
    else:
        back = duckdb.sql(f"SELECT * FROM read_csv('{file}')").to_arrow_table()
    assert back.column_names == table.column_names
    for name in ("model", "feature_id", "n_active", "density", "max", "mean", "ms"):
        assert [v if v == v else None for v in back[name].to_pylist()] == table[name].to_pylist()


@dataclass(frozen=True)
class Row:
    text: str
    number: float
    maybe: int | None = None
    many: list[str] | None = None
    inner: "Inner | None" = None


@dataclass(frozen=True)
class Inner:
    label: str


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", '=HYPERLINK("http://x",1)']
)
def test_csv_runs_no_formula(text: str) -> None:
    (row,) = read_csv(csv_bytes([Row(text, -1.5)]))
    assert row["text"] == f"'{text}"
    assert row["number"] == "-1.5"


def test_csv_leaves_other_text(tmp_path: Path) -> None:
    texts = ["plain", "a=b", 'with "quotes", commas', "two\nlines", "Größe 三角形 🔺", "'already"]
    assert [r["text"] for r in read_csv(csv_bytes([Row(t, 0.0) for t in texts]))] == texts


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e-300, -2.5e17, float(np.float32(0.1)), 1 / 3])
def test_numbers_keep_all_digits(value: float) -> None:
    assert float(read_csv(csv_bytes([Row("a", value)]))[0]["number"]) == value


def test_records_within_records() -> None:
    rows = [Row("a", 1.0, None, ["x", "=y"], Inner("z")), Row("b", 2.0)]
    back = pq.read_table(io.BytesIO(parquet_bytes(rows)))
    assert back.schema.field("maybe").type == pa.int64()  # though no row has a value
    assert back["many"].to_pylist() == [["x", "=y"], None]
    assert back["inner"].to_pylist() == [{"label": "z"}, None]
    first, second = read_csv(csv_bytes(rows))
    assert json.loads(first["inner"]) == {"label": "z"}
    assert second["inner"] == second["many"] == ""


@dataclass(frozen=True)
class Bytes:
    image: bytes


@pytest.mark.parametrize(
    ("write", "rows", "message"),
    [
        (csv_bytes, [], "no rows"),
        (parquet_bytes, [1, "a"], "int, str"),
        (parquet_bytes, [Row("a", 1.0), Inner("a")], "Inner, Row"),
        (csv_bytes, [Bytes(b"")], "image: holds bytes; take Parquet"),
        (parquet_bytes, [Row("a", "b")], "Row: no table can be made"),  # type: ignore[arg-type]
    ],
)
def test_tables_refuse_in_one_line(write: Any, rows: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        write(rows)
    assert "\n" not in str(caught.value)


# --- JSON -----------------------------------------------------------------------------------------


def strict(text: bytes | str) -> Any:
    """JSON without NaN and Infinity, which are not in its standard."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_feature_json_is_what_is_stored(profiles: dict[tuple[str, int], Profile]) -> None:
    one = profiles[SAE, HOSTILE]
    said = [Said("note", "a note", "ada")]
    made = strict(feature_json(one, manifest=MANIFEST, said=said))
    assert made["feature"]["label"] == MARKUP
    assert made["feature"]["ms"] == one.feature.card.ms
    assert made["histogram"]["counts"] == one.feature.counts
    assert made["annotations"] == [{"kind": "note", "text": "a note", "author": "ada"}]
    top = one.feature.top[0]
    assert made["top_examples"][0] | {"uri": 0, "captions": 0, "class": 0, "tags": 0} == {
        "rank": 1, "example_id": top.example_id, "activation": top.activation, "token": top.token,
        "patches": top.patches, "patch_acts": top.patch_acts, "sha256": f"{top.example_id:064x}",
        "uri": 0, "captions": 0, "class": 0, "tags": 0,
    }  # fmt: skip
    assert "secret" not in json.dumps(made)


def test_feature_json_holds_captions(profiles: dict[tuple[str, int], Profile]) -> None:
    one = profiles[SAE, HOSTILE]
    made = strict(feature_json(one, manifest=MANIFEST))
    assert made["modality"] == asdict(one.modality)
    assert made["feature"]["modality_score"] == one.feature.card.modality_score
    for each, top in zip(made["top_captions"], one.captions, strict=True):
        assert each.items() >= asdict(top).items()
        assert each["sha256"] == f"{top.example_id:064x}"
    assert strict(feature_json(profiles[SAE, DEAD], manifest=MANIFEST))["top_captions"] == []


def test_json_writes_null_for_what_is_no_number(profiles: dict[tuple[str, int], Profile]) -> None:
    one = profiles[SAE, HOSTILE]
    odd = replace(one.feature.card, ms=float("nan"), max=float("inf"))
    made = strict(
        feature_json(replace(one, feature=replace(one.feature, card=odd)), manifest=MANIFEST)
    )
    assert made["feature"]["ms"] is made["feature"]["max"] is None


# Of Neuronpedia's models Neuron, Activation and Explanation: name -> kinds of values.
NUMBER = (int, float)
IDENTITY = {"modelId": str, "layer": str, "index": str}
NEURON = IDENTITY | {
    "sourceSetName": str, "hookName": str, "maxActApprox": NUMBER, "frac_nonzero": NUMBER,
    "hasVector": bool, "umap_x": (*NUMBER, type(None)), "umap_y": (*NUMBER, type(None)),
}  # fmt: skip
LISTS = {
    "freq_hist_data_bar_heights", "freq_hist_data_bar_values", "logits_hist_data_bar_heights",
    "logits_hist_data_bar_values", "topkCosSimIndices", "topkCosSimValues",
    "neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1",
    "correlated_neurons_indices", "correlated_neurons_pearson", "correlated_neurons_l1",
    "correlated_features_indices", "correlated_features_pearson", "correlated_features_l1",
    "neg_str", "neg_values", "pos_str", "pos_values", "decoder_weights_dist", "vector",
}  # fmt: skip
ACTIVATION = IDENTITY | {
    "tokens": list, "values": list, "maxValue": NUMBER, "maxValueTokenIndex": int,
    "minValue": NUMBER, "dataIndex": str, "dataSource": type(None),
}  # fmt: skip
EXPLANATION = IDENTITY | {
    "description": str, "typeName": str, "explanationModelName": type(None),
    "authorId": (str, type(None)), "scores": list,
}  # fmt: skip


def check(made: dict[str, Any], shape: dict[str, Any]) -> None:
    assert made.keys() - {"loupe"} == shape.keys()
    for name, kind in shape.items():
        assert isinstance(made[name], kind), name


def test_neuronpedia_has_the_shape(profiles: dict[tuple[str, int], Profile]) -> None:
    one = profiles[SAE, HOSTILE]
    said = [Said("label", "my label", "ada"), Said("note", "no label", "ada")]
    made = strict(neuronpedia_json(one, said=said))
    activations, explanations = made.pop("activations"), made.pop("explanations")
    check(made, NEURON | dict.fromkeys(LISTS, list))
    assert re.fullmatch(r"[a-z0-9_-]+", made["modelId"])
    assert made["layer"] == "0-vision-resid_post-matryoshka"
    assert made["layer"].partition("-")[2] == made["sourceSetName"]
    assert (made["index"], made["maxActApprox"]) == ("7", one.feature.card.max)
    heights, values = made["freq_hist_data_bar_heights"], made["freq_hist_data_bar_values"]
    assert len(heights) == len(values) == 32 and sum(heights) == one.feature.card.n_active
    assert values[0] == pytest.approx((one.feature.edges[0] + one.feature.edges[1]) / 2)
    assert len(made["correlated_features_indices"]) == len(made["correlated_features_pearson"]) == 3
    images = [each for each in activations if each["loupe"]["modality"] == "image"]
    for each, top in zip(images, one.feature.top, strict=True):
        check(each, ACTIVATION)
        assert each["tokens"] == [f"Image_patch_{i}" for i in range(1, 65)]
        assert [i for i, v in enumerate(each["values"]) if v] == top.patches
        assert each["values"][each["maxValueTokenIndex"]] == each["maxValue"] == max(top.patch_acts)
        assert each["dataIndex"] == one.examples[top.example_id].uri
        assert each["loupe"]["image"]["sha256"] == f"{top.example_id:064x}"
    spoken = activations[len(images) :]
    for each, said_of in zip(spoken, one.captions, strict=True):
        check(each, ACTIVATION)
        assert each["tokens"] == said_of.pieces
        assert [i for i, v in enumerate(each["values"]) if v] == said_of.tokens
        assert each["maxValueTokenIndex"] == said_of.token
        assert each["maxValue"] == said_of.activation
        assert each["loupe"]["modality"] == "text"
        assert each["dataIndex"] == one.examples[said_of.example_id].uri
    for each in explanations:
        check(each, EXPLANATION)
    assert [(e["description"], e["typeName"]) for e in explanations] == [
        (MARKUP, "loupe_top-tag"),
        *((name.label, f"loupe_{name.kind}") for name in one.names),
        ("my label", "human"),
    ]
    assert [e["scores"][0]["value"] for e in explanations[1:-1]] == [n.tells for n in one.names]
    assert {e["scores"][0]["explanationScoreTypeName"] for e in explanations[1:-1]} == {
        "loupe_tells-auroc"
    }


def test_neuronpedia_types_a_label_that_is_a_word(
    profiles: dict[tuple[str, int], Profile],
) -> None:
    """Where no image has tags, the label is the first word and its score 2 tells - 1."""
    one = profiles[SAE, 0]
    word = next(n for n in one.names if (n.kind, n.rank) == ("word", 1))

    def types(score: float | None) -> list[tuple[str, str]]:
        card = replace(one.feature.card, label=word.label, label_score=score)
        made = neuronpedia_json(replace(one, feature=replace(one.feature, card=card)))
        return [(e["description"], e["typeName"]) for e in strict(made)["explanations"]]

    assert word.tells is not None
    names = [(n.label, f"loupe_{n.kind}") for n in one.names]
    assert types(float(np.float32(max(0.0, 2 * word.tells - 1)))) == names
    assert types(2.0) == [(word.label, "loupe_top-tag"), *names], "a tag of the same text"


def test_names_are_in_the_files(
    connection: queries.Connection, profiles: dict[tuple[str, int], Profile]
) -> None:
    one = profiles[SAE, HOSTILE]
    assert len(one.names) == 4
    assert one.names == queries.auto_labels(connection, *one.key)
    made = strict(feature_json(one, manifest=MANIFEST))
    assert made["labels"] == [asdict(name) for name in one.names]
    html_text = report([one], manifest={}, made=MADE).decode()
    (part,) = re.findall('<ul class="names">(.*?)</ul>', html_text)
    rows = re.findall('<li><span>(.*?) <span class="muted">(.*?)</span>.*?num">(.*?)</span>', part)
    assert [(html.unescape(label), kind, tells) for label, kind, tells in rows] == [
        (n.label, hints.NAME_KINDS[n.kind], f"{n.tells:.2f}") for n in one.names
    ]
    assert MARKUP not in part, "escaped"


def test_older_bundles_have_no_names(tmp_path: Path) -> None:
    run = make_bundle(tmp_path / "older")
    with duckdb.connect(str(opening.open_bundle(run).database)) as opened_file:
        opened_file.execute("DROP TABLE labels")
        (one,) = queries.profiles(opened_file, [(SAE, 0)])
    assert one.names == []
    assert strict(feature_json(one, manifest=MANIFEST))["labels"] == []
    assert b"Names found" not in report([one], manifest={}, made=MADE).partition(b"<details")[0]
    assert [e["typeName"] for e in strict(neuronpedia_json(one))["explanations"]] == [
        "loupe_top-tag"
    ]


def test_rows_of_compare_make_tables() -> None:
    rows = [
        Aligned(3, (Pair(3, 8, 0.75, 0.5), None)),
        Aligned(4, (Pair(4, 9, 0.25, None), Pair(4, 1, 0.5, 0.0))),
    ]
    made = matches("a", ["b", "c"], rows, threshold=0.5)
    assert [tuple(row.values()) for row in read_csv(csv_bytes(made))] == [
        ("a", "3", "b", "8", "0.75", "0.5", "true"), ("a", "3", "c", "", "", "", "false"),
        ("a", "4", "b", "9", "0.25", "", "false"), ("a", "4", "c", "1", "0.5", "0.0", "true"),
    ]  # fmt: skip
    shares = found_again(["a", "b"], {(0, 1): Agreement(8, 2, 0.5), (1, 0): Agreement(0, 0, None)})
    back = pq.read_table(io.BytesIO(parquet_bytes(shares))).to_pylist()
    assert [(r["dictionary_id"], r["other_id"], r["share"]) for r in back] == [
        ("a", "b", 0.25), ("b", "a", None),
    ]  # fmt: skip


def test_neuronpedia_lists_itself_first_among_the_nearest(
    profiles: dict[tuple[str, int], Profile],
) -> None:
    one = profiles[SAE, HOSTILE]
    near = [replace(n, kind="decoder") for n in one.neighbors]
    made = strict(neuronpedia_json(replace(one, neighbors=near)))
    assert made["topkCosSimIndices"] == [HOSTILE, *(n.card.feature_id for n in near)]
    assert made["topkCosSimValues"] == [1, *(n.score for n in near)]


def test_neuronpedia_of_what_has_no_patches(profiles: dict[tuple[str, int], Profile]) -> None:
    flat = strict(neuronpedia_json(profiles[FLAT, HOSTILE]))
    assert flat["layer"] == f"{profiles[FLAT, 0].dictionary.depth}-vision-projection-matryoshka"
    tops = profiles[FLAT, HOSTILE].feature.top
    assert [(a["tokens"], a["values"]) for a in flat["activations"]] == [
        (["Image"], [top.activation]) for top in tops
    ] + [([one.text], [one.activation]) for one in profiles[FLAT, HOSTILE].captions]
    dead = strict(neuronpedia_json(profiles[SAE, DEAD]))
    assert dead["activations"] == dead["freq_hist_data_bar_values"] == []


def test_neuronpedia_puts_cls_before_the_patches(profiles: dict[tuple[str, int], Profile]) -> None:
    one = profiles[SAE, 0]
    cls = replace(one, dictionary=replace(one.dictionary, tokens="cls"))
    made = strict(neuronpedia_json(cls))["activations"][: len(one.feature.top)]
    for each, top in zip(made, one.feature.top, strict=True):
        assert each["tokens"][:2] == ["CLS", "Image_patch_1"]
        assert each["values"][0] == top.activation
        assert [i - 1 for i, v in enumerate(each["values"][1:], 1) if v] == top.patches


def test_neuronpedia_zip_has_the_folders(profiles: dict[tuple[str, int], Profile]) -> None:
    some = list(profiles.values())
    said = {(SAE, DEAD): [Said("label", "dead one")]}
    made = neuronpedia_zip(some, said=said)
    assert made == neuronpedia_zip(some, said=said)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert archive.testzip() is None
        files = {
            name: [strict(line) for line in gzip.decompress(archive.read(name)).splitlines()]
            for name in archive.namelist()
        }
    folders = {"/".join(source(p)) for p in some}
    assert len(folders) == 2
    kinds = ("features", "activations", "explanations")
    assert set(files) == {f"{f}/{kind}/batch-0.jsonl.gz" for f in folders for kind in kinds}
    for name, rows in files.items():
        members = [p for p in some if name.startswith("/".join(source(p)) + "/")]
        if "/features/" in name:
            assert [row["index"] for row in rows] == [str(p.key[1]) for p in members]
        if "/activations/" in name:
            assert len(rows) == sum(len(p.feature.top) + len(p.captions) for p in members)
    mine = files["clip-demo/0-vision-resid_post-matryoshka/explanations/batch-0.jsonl.gz"]
    assert [r["description"] for r in mine if r["index"] == str(DEAD)] == [
        *(name.label for name in profiles[SAE, DEAD].names), "dead one",
    ]  # fmt: skip


# --- pictures -------------------------------------------------------------------------------------


def test_heat_map_colours_the_patches() -> None:
    made = heat_map([1, 5, 99], [2.0, 4.0, 1.0], grid=(2, 3), top=4.0)
    pixels = np.asarray(Image.open(io.BytesIO(made)))
    assert pixels.shape == (2, 3, 4)
    assert tuple(pixels[0, 0]) == VEIL
    assert tuple(pixels[1, 2]) == (0xFD, 0xE7, 0x25, 230)  # the largest: the end of the scale
    assert tuple(pixels[0, 1]) == (0x21, 0x91, 0x8C, 175)  # half of it: the middle


@pytest.mark.parametrize("webp", [None, b"", b"no picture", b"RIFF\x00\x00\x00\x00WEBPVP8 "])
def test_unreadable_pictures_are_none(webp: bytes | None) -> None:
    assert opened(webp) is None


def drawn(profile: Profile, **changes: Any) -> np.ndarray:
    """The card's pixels [height, width, 3], of the feature with its card changed."""
    one = replace(profile, feature=replace(profile.feature, card=replace(
        profile.feature.card, **changes)))  # fmt: skip
    with Image.open(io.BytesIO(card_png(one, run="a run"))) as image:
        assert image.format == "PNG" and image.info["dpi"][0] == pytest.approx(144, abs=0.1)
        return np.asarray(image.convert("RGB")).astype(int)


def test_card_shows_the_top_images(profiles: dict[tuple[str, int], Profile]) -> None:
    one = profiles[SAE, 0]
    pixels = drawn(one)
    assert pixels.shape[1] == card.WIDTH
    for place, top in enumerate(one.feature.top):
        row, column = divmod(place, 4)
        y, x = card.HEAD + row * (card.TILE + card.GAP), card.EDGE + column * (card.TILE + card.GAP)
        shown = pixels[y : y + card.TILE, x : x + card.TILE].mean((0, 1))
        picture = np.asarray(opened(one.pictures[top.example_id])).mean((0, 1))
        assert np.abs(shown - picture).max() < 2
    single = drawn(profiles[SAE, SINGLE])
    y, x = card.HEAD, card.EDGE + card.TILE + card.GAP
    assert (single[y : y + card.TILE, x : x + card.TILE] == (0xF2, 0xF3, 0xF4)).all()


def test_card_draws_ms_as_a_bar(profiles: dict[tuple[str, int], Profile]) -> None:
    def filled(ms: float | None) -> int:
        accent = (drawn(profiles[SAE, DEAD], ms=ms) == (0x0F, 0x6B, 0x75)).all(2)
        return int(accent.any(0).sum())

    assert filled(None) == filled(0.0) == filled(-0.5) == 0
    assert filled(0.5) == pytest.approx(card.METER[0] / 2, abs=1)
    assert filled(1.0) == filled(7.0) == pytest.approx(card.METER[0], abs=1)


@pytest.mark.parametrize(
    "label",
    [MARKUP, "long " * 400, "W" * 5000, "\u202eabc\u0000\ud800\n\t", "三角形 مثلث 🔺 ½", ""],
)
def test_card_keeps_any_label_within_its_edges(
    profiles: dict[tuple[str, int], Profile], label: str
) -> None:
    plain, pixels = drawn(profiles[SAE, 0]), drawn(profiles[SAE, 0], label=label)
    assert pixels.shape == plain.shape
    head = pixels[4 : card.HEAD]  # within the frame
    assert (head[:, 4 : card.EDGE - 4] == 255).all()
    assert (head[:, card.WIDTH - card.EDGE + 4 : card.WIDTH - 4] == 255).all()
    assert (pixels[card.HEAD :] == plain[card.HEAD :]).all()


def text_of(runs: list[fonts.Run]) -> str:
    return "".join(part for part, _ in runs)


def test_letters_that_no_font_has_are_replaced() -> None:
    assert text_of(fonts.in_fonts("plain text #1", size=20)) == "plain text #1"
    made = text_of(fonts.in_fonts("é \U0010fffd", size=20))
    assert made[0] in "ée" and made[-1] in f"{fonts.BOX}?"


def test_text_is_one_line_without_control_signs() -> None:
    assert fonts.one_line(" a\u202eb\x00\n\tc\ud800 ") == "a b c"


def test_long_text_ends_in_dots() -> None:
    runs = fonts.clipped("word " * 100, size=20, width=200)
    assert text_of(runs).endswith("...") and 150 < fonts.width_of(runs) <= 200


# --- the report -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report_file(
    profiles: dict[tuple[str, int], Profile], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A report in which every text that data can give is markup."""
    hostile = []
    for one in profiles.values():
        shorts = dict.fromkeys(one.shorts, MARKUP)
        named = replace(one.dictionary, name=f'"><img src=x>{MARKUP}')
        known = {i: replace(e, uri=f"http://evil.invalid/'\"{MARKUP}", captions=[MARKUP])
                 for i, e in one.examples.items()}  # fmt: skip
        scores = [replace(score, encoder=MARKUP) for score in one.scores]
        hostile.append(replace(one, dictionary=named, shorts=shorts, examples=known, scores=scores))
    said = {(SAE, HOSTILE): [Said("note", f"{MARKUP}\n</p><b>", MARKUP)]}
    asked = [*profiles, (MARKUP, 1)]
    made = report(hostile, manifest=MANIFEST, made=MADE, asked=asked, said=said)
    file = tmp_path_factory.mktemp("report") / "report.html"
    file.write_bytes(made)
    return file


@pytest.fixture
def report_page(browser: "Browser", report_file: Path) -> Iterator["Page"]:
    """The report opened as a file, every request but for the file itself refused and noted."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda r: r.url.startswith("data:") or asked.append(r.url))
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(report_file.as_uri())
    yield page
    assert asked == [report_file.as_uri()]
    assert faults == []
    context.close()


@pytest.mark.browser
def test_report_runs_nothing_that_data_says(
    report_page: "Page", profiles: dict[tuple[str, int], Profile]
) -> None:
    assert report_page.title() == f"Features of Run {MARKUP}"
    assert report_page.locator("script, iframe, object, link, base, form").count() == 0
    sources = report_page.eval_on_selector_all("img", "all => all.map((i) => i.src.slice(0, 11))")
    assert set(sources) <= {"data:image/"}
    said = f"{MARKUP} (http://evil.invalid/'\"{MARKUP})"
    assert report_page.locator(".frame img").first.get_attribute("alt") == said
    assert report_page.locator("figure").first.get_attribute("title") == said
    assert report_page.locator("dd b").all_inner_texts().count(MARKUP) == 2
    assert report_page.locator(".remark").inner_text() == f"note, {MARKUP}: {MARKUP}\n</p><b>"
    assert report_page.locator(".left-out").inner_text().endswith(f"bundle: {MARKUP} #1.")
    assert report_page.locator(".feature").count() == len(profiles)


@pytest.mark.browser
def test_report_shows_pictures_with_heat_maps(
    report_page: "Page", profiles: dict[tuple[str, int], Profile]
) -> None:
    report_page.wait_for_function("[...document.images].every((i) => i.complete)")
    widths = report_page.eval_on_selector_all("img", "all => all.map((i) => i.naturalWidth)")
    assert min(widths) > 0
    tops = sum(len(p.feature.top) for p in profiles.values())
    mapped = sum(len(p.feature.top) for p in profiles.values() if p.dictionary.grid)
    assert report_page.locator(".frame img:not(.heat)").count() == tops
    heat = report_page.locator(".heat")
    assert heat.count() == mapped > 0
    frame, over = report_page.locator(".frame").first.bounding_box(), heat.first.bounding_box()
    assert over == pytest.approx(frame)
    report_page.get_by_label("Heat map").uncheck()
    assert not heat.first.is_visible()
    report_page.get_by_label("Heat map").check()
    assert heat.first.is_visible()


@pytest.mark.browser
def test_report_has_its_numbers(
    report_page: "Page", profiles: dict[tuple[str, int], Profile]
) -> None:
    one = profiles[SAE, 0]
    part = report_page.locator(".feature").first
    assert f"{one.feature.card.ms:.2f}" in part.locator("dl").inner_text()
    assert part.locator(".histogram rect").count() == sum(n > 0 for n in one.feature.counts)
    assert part.locator(".score").count() == 2 and part.locator("u.neuron").count() == 2
    assert part.locator("h3").all_inner_texts() == [
        "Top captions", "Activations", "MS by encoder", "Names found for it", "Most correlated",
        "Best match elsewhere",
    ]  # fmt: skip
    report_page.get_by_text("Versions and settings").click()
    settings = report_page.locator("header").inner_text()
    assert "0123" in settings and "02 January 2026" in settings and "secret" not in settings


@pytest.mark.browser
def test_report_marks_tokens_of_captions(
    report_page: "Page", profiles: dict[tuple[str, int], Profile]
) -> None:
    of = list(profiles)
    parts = report_page.locator(".feature")
    tokens, dead = parts.nth(of.index((SAE, HOSTILE))), parts.nth(of.index((SAE, DEAD)))
    assert dead.locator(".captions").count() == 0
    one = profiles[SAE, HOSTILE]
    lines = tokens.locator(".captions li")
    assert lines.count() == 16
    for line, top in zip(lines.all(), one.captions, strict=True):
        assert top.text in line.inner_text().replace("\n", " ")
        assert top.token is not None
        assert line.locator("mark.strongest").inner_text() == top.pieces[top.token].strip()
        assert f"{top.activation:.2f}" in line.inner_text()
    assert "modality score" in tokens.locator("dl").inner_text()
    flat = parts.nth(of.index((FLAT, HOSTILE)))
    wide = flat.locator(".whole i").evaluate_all("all => all.map((i) => i.offsetWidth)")
    assert len(wide) == 16 and wide == sorted(wide, reverse=True) and wide[0] > wide[-1]
    assert flat.locator("mark").count() == 0


@pytest.mark.browser
def test_report_follows_theme_paper_and_phone(report_page: "Page") -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    report_page.emulate_media(color_scheme="light")
    assert report_page.evaluate(ground) == "rgb(255, 255, 255)"
    report_page.emulate_media(color_scheme="dark")
    assert report_page.evaluate(ground) == "rgb(22, 24, 26)"
    report_page.emulate_media(color_scheme="dark", media="print")
    assert report_page.evaluate(ground) == "rgb(255, 255, 255)"
    assert not report_page.locator(".bar").is_visible()
    report_page.emulate_media(media="screen")
    report_page.set_viewport_size({"width": 390, "height": 844})
    assert report_page.evaluate("document.documentElement.scrollWidth") == 390


def test_report_is_bounded(profiles: dict[tuple[str, int], Profile]) -> None:
    some = list(profiles.values())
    whole = report(some, manifest={}, made=MADE).decode()
    assert "Left out" not in whole
    small = report(some, manifest={}, made=MADE, most_bytes=1).decode()
    assert small.count('<section class="feature"') == 1
    assert f"Left out: {len(some) - 1}." in small
    assert f"{FLAT} #{HOSTILE}" in small
    many = report(some * 60, manifest={}, made=MADE, asked=[(SAE, i) for i in range(4000, 4999)])
    assert many.decode().count('<section class="feature"') == 200
    assert "Left out: 999." in many.decode() and "and 949 more" in many.decode()


def test_report_of_nothing_and_of_unreadable_pictures(
    profiles: dict[tuple[str, int], Profile],
) -> None:
    assert b"0 features" in report([], manifest={}, made=MADE)
    one = profiles[SAE, 0]
    broken = replace(one, pictures=dict.fromkeys(one.pictures, b"<script>"), examples={})
    made = report([broken], manifest={}, made=MADE)
    assert b"<img" not in made and b"<script" not in made
    assert made.count(b"<figure") == len(one.feature.top)


# --- the buttons ----------------------------------------------------------------------------------

PAGE = f"""
import sys
from pathlib import Path
import streamlit as st
from dashboard.bundle import cached, opening
from dashboard.page import downloads

def said(keys):
    with Path(sys.argv[1], "asked").open("a") as file:
        file.write(f"{{len(keys)}}\\n")
    return {{}}

run = opening.current()
every = {{d.dictionary_id: d for d in cached.dictionaries(run)}}
downloads.feature_downloads(run, every[{SAE!r}], 7, said)
keys = [({SAE!r}, i) for i in range(48)] * 5
downloads.list_downloads(run, keys, said, name="my <list>/..")
downloads.list_downloads(run, [], key="none")
st.text("whole")
"""


@pytest.fixture
def buttons(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a page that has the buttons, and its run."""
    run = make_bundle(tmp_path / "made-up")
    (tmp_path / "page.py").write_text(PAGE, encoding="utf-8")
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(tmp_path / "page.py")]
    command += ["--server.port", str(port), "--server.headless", "true", "--", str(run)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not answers(f"http://localhost:{port}/_stcore/health"):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            yield f"http://localhost:{port}", run
        finally:
            process.kill()


@pytest.mark.browser
def test_buttons_make_files_when_asked(page: "Page", buttons: tuple[str, Path]) -> None:
    url, run = buttons
    page.goto(url)
    page.get_by_text("whole").wait_for()
    got: dict[str, bytes] = {}
    openers = page.get_by_role("button", name="Export", exact=True)
    assert openers.nth(2).is_disabled()
    for place in (0, 1):
        openers.nth(place).click()
        labels = page.locator("[data-testid=stPopoverBody] button")
        labels.nth(3).wait_for()
        assert place or not (run / "asked").exists()
        for button in labels.all():
            with page.expect_download() as download:
                button.click()
            got[download.value.suggested_filename] = Path(download.value.path()).read_bytes()
        page.keyboard.press("Escape")
        labels.first.wait_for(state="hidden")
    assert (run / "asked").read_text().split() == ["1", "1", "1", "48", "48"]
    stem = "clip-demo-vision.0.resid_post-matryoshka-7"
    assert sorted(got) == sorted(
        [f"{stem}.{end}" for end in ("html", "png", "json", "neuronpedia.json")]
        + [f"my-list.{end}" for end in ("html", "csv", "parquet", "neuronpedia.zip")]
    )
    assert strict(got[f"{stem}.json"])["feature"]["feature_id"] == HOSTILE
    assert strict(got[f"{stem}.neuronpedia.json"])["index"] == str(HOSTILE)
    assert Image.open(io.BytesIO(got[f"{stem}.png"])).width == card.WIDTH
    assert got[f"{stem}.html"].count(b'<section class="feature"') == 1
    assert got["my-list.html"].count(b'<section class="feature"') == 48
    assert len(read_csv(got["my-list.csv"])) == 240
    assert pq.read_table(io.BytesIO(got["my-list.parquet"])).num_rows == 240
    assert len(zipfile.ZipFile(io.BytesIO(got["my-list.neuronpedia.zip"])).namelist()) == 3


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("a/b.c", 3), "a-b.c-3"), (("../..",), "features"), (("<b>", "Größe"), "b-Größe"),
        (("x" * 500,), "x" * 120), (("",), "features"), (("a\\b\0\n",), "a-b"),
    ],
)  # fmt: skip
def test_file_names_are_plain(parts: tuple[str | int, ...], name: str) -> None:
    assert file_name(*parts) == name
