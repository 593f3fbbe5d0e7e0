"""What the pages are made of: words, colours, sheets, charts, and the browser code's rules."""

import base64
import io
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import altair as alt
import pytest
from PIL import Image
from streamlit import config as streamlit_config  # noqa: F401 (Streamlit's settings come first)

from dashboard.cards import bars
from dashboard.cards.contact_sheets import Sheets, data_uri
from dashboard.charts import features
from dashboard.records.dictionaries import Dictionary, Summary
from dashboard.style import markdown, numbers, palette
from pipeline.inputs.pictures import LARGEST

ROOT = Path(__file__).parents[1]
COMPONENTS = ROOT / "dashboard" / "components"


def webp(colour: str, side: int = 32) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "WEBP", quality=90)
    return buffer.getvalue()


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(";base64,")[2])))


def key(feature: int) -> tuple[str, str, int]:
    return ("bundle", "dictionary", feature)


def test_sheet_lays_tiles_in_reading_order() -> None:
    pictures = {1: webp("#ff0000"), 2: webp("#00ff00"), 3: webp("#0000ff")}
    (uri,) = Sheets().get({key(0): [1, 2, 3]}, lambda ids: pictures, tile=16, tiles=(2, 2))
    sheet = opened(uri).convert("RGBA")
    assert sheet.size == (32, 32)
    near = [sheet.getpixel(at) for at in ((8, 8), (24, 8), (8, 24), (24, 24))]
    for pixel, channel in zip(near[:3], range(3), strict=True):
        assert pixel[channel] > 200 > 60 > max(pixel[c] for c in range(3) if c != channel)
    assert near[3][3] == 0, "a place without an image is clear"


def test_sheets_are_kept_and_bounded() -> None:
    asked: list[int] = []

    def fetch(ids):
        asked.extend(ids)
        return {i: webp("#808080") for i in ids}

    sheets = Sheets(capacity=2000)
    first = sheets.get({key(0): [0], key(1): [1]}, fetch, tile=16, tiles=(1, 1))
    assert sheets.get({key(1): [1], key(0): [0]}, fetch, tile=16, tiles=(1, 1)) == first[::-1]
    assert sorted(asked) == [0, 1], "the second time nothing is fetched"
    for feature in range(2, 60):
        sheets.get({key(feature): [feature]}, fetch, tile=16, tiles=(1, 1))
    assert sheets._size <= 2000
    assert sheets._size == sum(map(len, sheets._kept.values()))


def test_a_feature_has_sheets_of_several_shapes() -> None:
    sheets, pictures = Sheets(), {i: webp("#808080") for i in range(4)}
    shapes = {
        opened(uri).size
        for tile, tiles in ((16, (2, 2)), (16, (4, 1)), (16, (1, 1)), (8, (2, 2)))
        for uri in sheets.get({key(0): range(4)}, lambda ids: pictures, tile=tile, tiles=tiles)
    }
    assert shapes == {(32, 32), (64, 16), (16, 16)}, "the last has the third's size"


def test_sheets_outlive_missing_and_oversized_pictures() -> None:
    pictures = {1: webp("#ff0000", LARGEST + 1)}
    (uri,) = Sheets().get({key(0): [1, 2]}, lambda ids: pictures, tile=16, tiles=(2, 1))
    assert opened(uri).size == (32, 16)


def test_data_uri() -> None:
    assert opened(data_uri(webp("#123456"))).size == (32, 32)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"), (float("nan"), "–"), (0.0, "0 %"), (1.0, "100 %"), (0.123, "12 %"),
        (0.0999, "10 %"), (0.0123, "1.2 %"), (0.00123, "0.12 %"), (0.0001, "0.01 %"),
    ],
)  # fmt: skip
def test_percent(share: float | None, text: str) -> None:
    assert numbers.percent(share) == text


def test_number() -> None:
    assert [numbers.number(v) for v in (None, float("nan"), 0.706, 1234.5)] == [
        "–",
        "–",
        "0.71",
        "1,234.50",
    ]


def test_plain_leaves_names_and_defuses_markup() -> None:
    assert markdown.plain("vision.3_a-b") == "vision.3_a-b"
    joined = "!\\[x\\](http\\:\u2060//evil.invalid)"
    assert markdown.plain("![x](http://evil.invalid)") == joined
    assert markdown.plain("run app.py -- data/x") == "run app.py -- data/x"
    assert markdown.plain("x:1, y@z and www.z") == "x\\:1, y@\u2060z and www\u2060.z"
    assert markdown.plain("<script>") == "\\<script\\>"


def test_tags_are_told_against_their_rate() -> None:
    from dashboard.records.images import Example

    known = [Example(i, "", [], None, ["red", "big"] if i < 3 else ["big"]) for i in range(4)]
    rows = bars.tag_bars(known, {"red": 0.1, "big": 0.9})
    assert [row["name"] for row in rows] == ["red", "big"]
    assert rows[0]["value"] == 0.75
    assert rows[0]["marks"][0]["at"] == 0.1


def dictionary(name: str, basis: str) -> Dictionary:
    return Dictionary(
        dictionary_id=f"m/vision.0.resid_post/{name}", model="m", hook="vision.0.resid_post",
        name=name, depth=0, basis=basis, architecture=name, d_in=4, d_sae=8, tokens="patches",
        pooling="max", grid_height=2, grid_width=2, l0=3.0, fvu=0.2, dead=0, n_examples=10,
        default_encoder="e", models=1, ms=0.5,
    )  # fmt: skip


def test_colours_keep_their_meaning() -> None:
    colours = features.dictionary_colours(
        [dictionary("a", "sae"), dictionary("n", "neurons"), dictionary("b", "sae")]
    )
    assert colours["n"] == palette.NEURONS
    assert len(set(colours.values())) == 3
    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    assert {mode: theme[mode]["primaryColor"] for mode in ("light", "dark")} == palette.ACCENT


def drawn(layer: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """A layer's mark, and the field of each of its channels that has one."""
    fields = {
        channel: one["field"]
        for channel, one in layer["encoding"].items()
        if isinstance(one, dict) and "field" in one
    }
    return layer["mark"]["type"], fields


def values(chart: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that all layers of a chart share."""
    (of,) = [one["data"] for one in [chart, *chart["layer"]] if "data" in one]
    return chart["datasets"][of["name"]] if "name" in of else of["values"]


def test_the_spread_of_ms_is_drawn_of_its_own_numbers() -> None:
    every = [dictionary("a", "sae"), dictionary("n", "neurons")]
    spread = [
        Summary(d.dictionary_id, 8, 0.5, 0.01, 0.2, 0.4, 0.55, 0.6, 0.8, 0.42, 0.41) for d in every
    ]
    chart = features.ms_by_hook(every, spread).to_dict()
    at = {"x": "place", "xOffset": "name"}
    fixed = {"color": "name"}
    assert [drawn(layer) for layer in chart["layer"]] == [
        ("rule", at | fixed | {"y": "p05", "y2": "p95"}),
        ("bar", at | fixed | {"y": "p25", "y2": "p75"}),
        ("tick", at | {"y": "control_neuron"}),
        ("rule", at | {"y": "low", "y2": "high"}),
        ("circle", at | {"y": "mean"}),
    ]
    assert "sae" in json.dumps(chart["layer"][2]["transform"])
    colours = chart["layer"][0]["encoding"]["color"]["scale"]
    assert dict(zip(colours["domain"], colours["range"], strict=True)) == (
        features.dictionary_colours(every)
    )
    rows = values(chart)
    assert [row["name"] for row in rows] == ["a", "n"]
    for row in rows:
        quantiles = [row[name] for name in ("p05", "p25", "p50", "p75", "p95")]
        assert quantiles == [0.2, 0.4, 0.55, 0.6, 0.8]
        assert (row["mean"], row["control_neuron"], row["control_direction"]) == (0.5, 0.42, 0.41)
        assert row["mean"] - row["low"] == pytest.approx(row["high"] - row["mean"])
        assert row["high"] - row["mean"] == pytest.approx(1.96 * 0.01, rel=0.01)
    nothing = Summary("m/vision.0.resid_post/n", 0, *[None] * 9)
    scored = features.ms_by_hook(every, [spread[0], nothing]).to_dict()
    assert values(scored) == rows[:1], "without scores there is nothing to draw"
    assert values(features.ms_by_hook(every, []).to_dict()) == []


def test_sparsity_is_drawn_against_what_is_missed_of_saes_alone() -> None:
    every = [dictionary("a", "sae"), dictionary("n", "neurons"), dictionary("b", "sae")]
    chart = features.l0_fvu(every).to_dict()
    point, *names = map(drawn, chart["layer"])
    assert point == ("circle", {"x": "l0", "y": "fvu", "color": "name"})
    assert names == [("text", {"x": "l0", "y": "fvu", "text": "place"})] * 2
    rows = values(chart)
    assert [(row["name"], row["l0"], row["fvu"], row["right"]) for row in rows] == [
        ("a", 3.0, 0.2, False),
        ("b", 3.0, 0.2, True),
    ]
    low, high = chart["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert low < 3.0 < high
    assert values(features.l0_fvu([]).to_dict()) == []


def test_histograms_share_a_drawing_and_not_their_data() -> None:
    accent = palette.ACCENT["light"]
    plain = features.histogram([0, 1, 2], [3, 4], accent=accent)
    marked = features.histogram([0, 1, 4], [5, 6], accent=accent, marks=[(0.25, 3.9), (0.5, 4.0)])
    assert [row["images"] for row in plain["layer"][0]["data"]["values"]] == [3, 4]
    assert [row["images"] for row in marked["layer"][0]["data"]["values"]] == [5, 6]
    assert len(plain["layer"]) == 1
    names = [row["name"] for row in marked["layer"][2]["data"]["values"]]
    assert names == ["50%", ""], "only one of two lines that lie close has room for its name"
    assert alt.LayerChart.from_dict(marked).to_dict()["$schema"]


def test_browser_code_makes_no_markup_of_data() -> None:
    for path in COMPONENTS.rglob("*.js"):
        code = path.read_text(encoding="utf-8")
        banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|https?://"
        code = code.replace("http://www.w3.org/2000/svg", "")  # a name, which nothing fetches
        assert not re.search(banned, code), path
