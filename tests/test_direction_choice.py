"""Directions in the dashboard: their names, where their vectors come from, and choosing one."""

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pages import data, open_page, said, shows
from streamlit.testing.v1 import AppTest

from dashboard import queries
from dashboard.bundle import opening
from dashboard.live import models as live_models
from dashboard.records.features import Filter
from dashboard.steering import direction_names, direction_vectors, mean_activations
from dashboard.steering.direction_names import End, Named, Toward
from pipeline import config, models
from pipeline.demo import LLAVA_FOLDER
from pipeline.interventions import approximate
from pipeline.models.layout import code

HOOK, JOINT = "vision.2.resid_post", "vision.projection"
RED_TO_BLUE = f"{HOOK}/tag:red>tag:blue"


@pytest.fixture(scope="module")
def run(speaking_run: Path) -> Iterator[opening.Run]:
    live_models.shared.clear()
    before, sys.argv = sys.argv, ["app.py", str(speaking_run)]
    yield opening.current()
    sys.argv = before


def vector(run: opening.Run, name: str) -> torch.Tensor:
    with live_models.studied(run, "clip") as at:
        return direction_vectors.named(run, at, [Toward(HOOK, "add", name)])[name]


def acts_of(run: opening.Run, ids: list[int], hook: str = HOOK) -> torch.Tensor:
    """The images' CLS tokens, one by one, by the adapter itself."""
    known = queries.examples(run.connection, ids)
    pictures = [
        live_models.original(run, known[i], queries.sha256(run.connection, i)).image for i in ids
    ]
    with live_models.studied(run, "clip") as at:
        found = [at.adapter.record(at.adapter.prepare([p]), [hook])[hook][0, 0] for p in pictures]
    return torch.stack(found).double()


def of_tag(run: opening.Run, tag: str, *, without: str = "") -> list[int]:
    sql = "SELECT example_id, tags FROM examples WHERE split = 'val'"
    every = run.connection.cursor().execute(sql).fetchall()
    return [one for one, tags in every if tag in tags and without not in tags]


# --- Names ---


@pytest.mark.parametrize("text", ["red", "a cat; or > a dog", "50 % ~ / : +", "красный", "x" * 200])
def test_a_name_says_what_it_was_made_of(text: str) -> None:
    found = Named(HOOK, End("words", text), End("tag", text))
    assert direction_names.named(str(found)) == found
    one = Toward(HOOK, "move", str(Named(HOOK, End("tag", text))), str(found), -1.25)
    assert "~" not in direction_names.as_text(one)
    assert direction_names.of_text(direction_names.as_text(one)) == one


@pytest.mark.parametrize(
    "text",
    [
        "", "1;add", "x;add;a/tag:red", "nan;add;a/tag:red", "inf;add;a/tag:red",
        "1e7;add;a/tag:red", "1;turn;a/tag:red", "1;move;a/tag:red", "1;add;a/tag:red;a/tag:blue",
        "1;move;a/tag:red;b/tag:blue", "1;add;a/colour:red", "1;add;/tag:red", "1;add;a/tag:",
        "1;add;a/tag:%00", "1;add;a/tag:a>tag:b>tag:c", "1;add;a/tag:" + "x" * 300,
    ],
)  # fmt: skip
def test_what_says_no_edit_is_none(text: str) -> None:
    assert direction_names.of_text(text) is None


def test_an_edit_is_told_in_words() -> None:
    one = Toward(HOOK, "add", RED_TO_BLUE, None, 3.25)
    assert direction_names.told(one) == "3.25 from red to blue at vision.2"


# --- Vectors ---


def test_of_two_classes_the_difference_of_their_own_images_means(run: opening.Run) -> None:
    red, blue = of_tag(run, "red", without="blue"), of_tag(run, "blue", without="red")
    assert 1 < len(red) <= mean_activations.MOST_IMAGES
    assert 1 < len(blue) <= mean_activations.MOST_IMAGES
    wanted = acts_of(run, blue).mean(0) - acts_of(run, red).mean(0)
    found = vector(run, RED_TO_BLUE)
    assert torch.allclose(found.double(), wanted, atol=1e-4)
    scale = direction_vectors.scale(run, "clip", RED_TO_BLUE)
    assert scale.distance == pytest.approx(float(wanted.norm()), rel=1e-4)
    assert scale.unit == scale.distance


def test_one_class_is_set_off_from_images_at_random(run: opening.Run) -> None:
    some = [
        one.example_id
        for one in queries.drawn(run.connection, 0, limit=mean_activations.MOST_IMAGES)
    ]
    every = acts_of(run, some)
    wanted = acts_of(run, of_tag(run, "red")[: mean_activations.MOST_IMAGES]).mean(0) - every.mean(
        0
    )
    name = f"{HOOK}/tag:red"
    if len(of_tag(run, "red")) <= mean_activations.MOST_IMAGES:
        assert torch.allclose(vector(run, name).double(), wanted, atol=1e-4)
    scale = direction_vectors.scale(run, "clip", name)
    assert scale.distance is None
    assert scale.unit == scale.norm == pytest.approx(float(every.norm(dim=1).mean()), rel=1e-5)


def test_of_a_feature_its_top_images_count(run: opening.Run) -> None:
    (best,) = queries.page(run.connection, [f"clip/{HOOK}/cls"], Filter(), limit=1)
    feature = queries.feature(run.connection, best.dictionary_id, best.feature_id)
    top = acts_of(run, [one.example_id for one in feature.top]).mean(0)
    blue = acts_of(run, of_tag(run, "blue")).mean(0)
    name = f"{HOOK}/feature:{best.dictionary_id}:{best.feature_id}>tag:blue"
    assert torch.allclose(vector(run, name).double(), blue - top, atol=1e-4)


def test_of_two_texts_the_text_towers_vectors(run: opening.Run) -> None:
    with live_models.studied(run, "clip") as at:
        words = at.adapter.read_words(["red", "blue"], longest=32)
        made = at.adapter.record_words(words, [JOINT])[0][JOINT][:, 0]
    red, blue = torch.nn.functional.normalize(made, dim=1)
    assert torch.allclose(vector(run, f"{JOINT}/words:red>words:blue"), blue - red, atol=1e-6)


def test_at_a_language_layer_the_mean_of_the_texts_own_tokens() -> None:
    hook = "language.1.resid_post"
    settings = config.Model(id=str(LLAVA_FOLDER), hooks=(hook,))
    adapter = models.load(settings, device="cpu")
    text = "a large red circle"
    found = mean_activations.words_mean(live_models.Studied(adapter, "", "", "llava"), hook, [text])
    words = adapter.read_words([text], longest=64)
    acts, layout = adapter.record_words(words, [hook])
    kept = [a for a, k in zip(acts[hook][0], layout.kind[0], strict=True) if k == code("text")]
    assert len(kept) == len(words.pieces[0]) > 2
    assert torch.allclose(found, torch.stack(kept).mean(0), atol=1e-5)


def test_features_near_a_direction_and_what_it_is_made_of(run: opening.Run) -> None:
    (near,) = direction_vectors.near(run, "clip", RED_TO_BLUE)
    direction = vector(run, RED_TO_BLUE).double()
    with live_models.studied(run, "clip") as at:
        rows = live_models.sae_of(run, near.dictionary, at.adapter).W_dec
    cosines = torch.nn.functional.cosine_similarity(rows.double(), direction[None], dim=1)
    best = cosines.abs().argsort(descending=True)[: direction_vectors.NEAREST].tolist()
    assert [feature for feature, _ in near.nearest] == best
    assert [c for _, c in near.nearest] == pytest.approx(cosines[best].tolist(), abs=1e-5)
    made = approximate(direction.float(), rows, count=direction_vectors.PARTS)
    assert near.parts == tuple(zip(made.features, made.weights, strict=True))
    assert near.fvu == made.fvu < 1


# --- Files ---


def npy(array: np.ndarray, **options: bool) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def test_a_file_is_a_direction_for_as_long_as_it_is_kept(run: opening.Run) -> None:
    probe = np.linspace(-1, 1, 128, dtype=np.float32)
    end = direction_vectors.kept("my probe.npy", npy(probe), d_in=128)
    name = str(Named(HOOK, end))
    assert torch.equal(vector(run, name), torch.from_numpy(probe))
    assert direction_vectors.scale(run, "clip", name).distance is None
    lost = Named(HOOK, End("file", "probe.npy-000000000000"))
    with pytest.raises(live_models.Unavailable, match="give it again"):
        vector(run, str(lost))
    with pytest.raises(live_models.Unavailable, match="by itself"):
        vector(run, f"{name}>tag:red")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.npy", npy(np.ones(7)), r"a.npy: holds numbers of shape \(7,\)"),
        ("a.npy", npy(np.array([{}] * 128, dtype=object), allow_pickle=True), "not readable"),
        ("a.npy", npy(np.full(128, np.nan)), "not finite"),
        ("a.npy", b"", "not readable"),
        ("a.pt", b"x", "npy or .safetensors"),
        ("a.npy", b"0" * (direction_vectors.MOST_BYTES + 1), "over 20 MB"),
    ],
    ids=["width", "pickled", "nan", "empty", "format", "size"],
)
def test_a_file_that_holds_no_direction_is_refused(name: str, content: bytes, why: str) -> None:
    with pytest.raises(live_models.Unavailable, match=why) as caught:
        direction_vectors.kept(name, content, d_in=128)
    assert "\n" not in str(caught.value)
    assert "/tmp" not in str(caught.value)


# --- Faults ---


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nothing", "says no direction"),
        (f"{HOOK}/tag:mauve", "no val image has the tag mauve"),
        (f"{HOOK}/tag:red>tag:red", "no val image has the tag red and not red"),
        ("vision.9.resid_post/tag:red", "no hook point"),
        (f"{HOOK}/words:red", "words alone do not reach"),
        (f"{HOOK}/feature:clip/{HOOK}/cls:9999", "no such feature"),
        (f"{HOOK}/feature:nowhere:x", "no such feature"),
        (f"{JOINT}/words:red>words:red", "both ends are the same"),
    ],
)
def test_what_cannot_be_is_one_line_and_the_next_works(
    run: opening.Run, name: str, why: str
) -> None:
    for ask in (direction_vectors.scale, direction_vectors.near):
        with pytest.raises(live_models.Unavailable, match=why) as caught:
            ask(run, "clip", name)
        assert "\n" not in str(caught.value)
    assert direction_vectors.scale(run, "clip", RED_TO_BLUE).unit > 0
    assert len(live_models.shared().turns) == 0


# --- The page ---


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, speaking_run: Path) -> Callable[..., AppTest]:
    def start(**parameters: str) -> AppTest:
        return open_page(monkeypatch, speaking_run, "steering", **parameters)

    return start


def test_a_direction_is_chosen_strengthened_and_taken_out(opened: Callable[..., AppTest]) -> None:
    at = opened()
    at.selectbox(key="along-hook").set_value(HOOK)
    at.selectbox(key="along-a-tag-True").set_value("red")
    at.selectbox(key="along-b-tag").set_value("blue").run()
    at.button(key="along-use").click().run()
    assert not at.exception
    chosen = direction_names.of_text(at.query_params["along"])
    assert chosen is not None
    assert (chosen.kind, chosen.direction) == ("add", RED_TO_BLUE)
    assert "from red to blue at vision.2" in said(at)
    (slider,) = (one for one in at.slider if one.label == "Strength")
    assert slider.value == 1.0  # distances between the two means
    slider.set_value(2.0).run()
    doubled = direction_names.of_text(at.query_params["along"])
    assert doubled is not None
    assert doubled.strength == pytest.approx(2 * chosen.strength, rel=1e-4)
    near = data(at, "chips")
    assert near["links"]
    at.button(key="along-out").click().run()
    assert "along" not in at.query_params
    assert "from red to blue" not in said(at)


def test_a_move_goes_between_two_ends(opened: Callable[..., AppTest]) -> None:
    at = opened()
    at.segmented_control(key="along-kind").set_value("move").run()
    at.selectbox(key="along-a-tag-False").set_value("red")
    at.selectbox(key="along-b-tag").set_value("blue").run()
    at.button(key="along-use").click().run()
    hook = at.selectbox(key="along-hook").value
    assert direction_names.of_text(at.query_params["along"]) == Toward(
        hook, "move", f"{hook}/tag:red", f"{hook}/tag:blue", 1.0
    )


def test_a_link_that_says_no_direction_is_told(opened: Callable[..., AppTest]) -> None:
    at = opened(along="1;add;nonsense")
    assert any("No direction is called" in one.value for one in at.warning)
    at = opened(along=f"3;add;{HOOK}/tag:mauve")
    assert any("no val image has the tag mauve" in one.value for one in at.warning)
    assert shows(opened(along=f"3;add;{RED_TO_BLUE}"), "chips")
