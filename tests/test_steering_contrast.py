"""Steering of contrastive models: against literal recomputations, on its page, and with faults."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tiny
import tiny_families as families
import torch
from pages import open_page, said, shows
from small_run import make_speaking_run
from streamlit.testing.v1 import AppTest
from transformers import AutoConfig, CLIPModel, SiglipModel

from dashboard import queries
from dashboard.bundle import opening
from dashboard.live import images
from dashboard.live import models as live_models
from dashboard.steering import image_embeddings, label_charts
from dashboard.steering.joint_space import WAYS, Among, Labels, Seen, new, rivals
from dashboard.steering.joint_space import shifts as shifted
from pipeline import config, models
from pipeline.demo import CLIP_FOLDER
from pipeline.interventions import Along, Setting, Turned
from pipeline.models.loading import ModelError
from pipeline.models.text_tower import Logits, logits_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOOK, JOINT = "vision.2.resid_post", "vision.projection"
SAE = f"clip/{HOOK}/cls"
WORDS = ("red", "green", "blue", "a small yellow ring on grass")
Opened = Callable[..., AppTest]


@pytest.fixture(scope="module")
def run(speaking_run: Path) -> Iterator[opening.Run]:
    live_models.shared.clear()
    before, sys.argv = sys.argv, ["app.py", str(speaking_run)]
    yield opening.current()
    sys.argv = before


@pytest.fixture(scope="module")
def clip() -> CLIPModel:
    return CLIPModel.from_pretrained(CLIP_FOLDER).eval()


@pytest.fixture(scope="module")
def picture(run: opening.Run) -> live_models.Picture:
    (example,) = queries.drawn(run.connection, 3, limit=1)
    look = images.of_example(run, example.example_id)
    assert look is not None
    assert look.picture is not None
    return look.picture


@pytest.fixture(scope="module")
def features(run: opening.Run, picture: live_models.Picture) -> list[int]:
    """Features that fire on the picture."""
    dictionary = next(d for d in queries.dictionaries(run.connection) if d.dictionary_id == SAE)
    found = live_models.fired(run, dictionary, picture)
    return found.feature[found.activation > 0][:3].tolist()


def edited(
    run: opening.Run,
    clip: CLIPModel,
    picture: live_models.Picture,
    change: Callable[[torch.Tensor, object], torch.Tensor],
) -> np.ndarray:
    """The embedding where `change(acts, sae)` stands in place of what layer 2 puts out."""
    with live_models.studied(run, "clip") as at:
        pixels = at.adapter.prepare([picture.image]).tensors["pixel_values"]
        dictionary = next(d for d in queries.dictionaries(run.connection) if d.hook == HOOK)
        sae = live_models.sae_of(run, dictionary, at.adapter)
    layer = clip.vision_model.encoder.layers[2]

    def hook(_module: object, _inputs: object, output: object) -> object:
        first = output[0] if isinstance(output, tuple) else output
        made = change(first, sae)
        return (made, *output[1:]) if isinstance(output, tuple) else made

    handle = layer.register_forward_hook(hook)
    try:
        with torch.inference_mode():
            vision = clip.vision_model(pixel_values=pixels).pooler_output
            joint = clip.visual_projection(vision)
    finally:
        handle.remove()
    return torch.nn.functional.normalize(joint, dim=1)[0].numpy()


def turned(features: list[int], strength: float, **more: object) -> Setting:
    every = tuple(Turned(dictionary=SAE, feature=one, strength=strength) for one in features)
    return Setting(features=every, **more)


# --- What the model sees ---


@pytest.mark.parametrize("form", ["delta", "replace"])
@pytest.mark.parametrize("mode", ["clamp", "add", "scale", "ablate"])
def test_embeddings_equal_a_literal_recomputation(
    run: opening.Run,
    clip: CLIPModel,
    picture: live_models.Picture,
    features: list[int],
    mode: str,
    form: str,
) -> None:
    strength = 3.0

    def change(acts: torch.Tensor, sae: object) -> torch.Tensor:
        codes = sae.encode(acts)
        after = codes.clone()
        for one in features:
            f = codes[..., one]
            after[..., one] = {
                "clamp": torch.full_like(f, strength), "add": f + strength,
                "scale": f * strength, "ablate": torch.zeros_like(f),
            }[mode]  # fmt: skip
        if form == "replace":
            return sae.decode(after)
        return acts + sae.decode(after) - sae.decode(codes)

    setting = turned(features, strength, mode=mode, form=form)
    one = image_embeddings.seen(run, "clip", picture, [setting])
    plain = edited(run, clip, picture, lambda acts, _: acts)
    rebuilt = edited(run, clip, picture, lambda acts, sae: sae.decode(sae.encode(acts)))
    wanted = edited(run, clip, picture, change)
    assert np.allclose(one.unsteered, plain, atol=1e-5)
    assert np.allclose(one.reconstruction, rebuilt, atol=1e-5)
    assert np.allclose(one.steered, wanted, atol=1e-5)
    assert not np.allclose(one.steered, one.unsteered, atol=1e-3)
    assert one.kept == pytest.approx(float(plain @ wanted), abs=1e-5)


@pytest.mark.parametrize(("mode", "strength"), [("add", 0.0), ("scale", 1.0)])
def test_an_edit_of_nothing_changes_no_bit(
    run: opening.Run, picture: live_models.Picture, features: list[int], mode: str, strength: float
) -> None:
    one = image_embeddings.seen(run, "clip", picture, [turned(features, strength, mode=mode)])
    assert np.array_equal(one.steered, one.unsteered)
    assert not np.array_equal(one.reconstruction, one.unsteered)


def test_a_sweep_is_rows_of_the_same_forward(
    run: opening.Run, picture: live_models.Picture, features: list[int]
) -> None:
    settings = [turned(features, strength) for strength in (2.0, 0.0, 2.0, 5.0)]
    one = image_embeddings.seen(run, "clip", picture, settings)
    assert one.swept.shape == (3, 128)
    assert np.allclose(one.swept[1], one.steered, atol=1e-6)
    alone = image_embeddings.seen(run, "clip", picture, [settings[3]])
    assert np.allclose(one.swept[2], alone.steered, atol=1e-5)


def test_along_a_direction(run: opening.Run, clip: CLIPModel, picture: live_models.Picture) -> None:
    from dashboard.steering import direction_vectors

    name = f"{HOOK}/tag:red>tag:blue"
    along = Along(hook=HOOK, kind="add", direction=name, strength=9.0)
    one = image_embeddings.seen(run, "clip", picture, [Setting(directions=(along,))])
    with live_models.studied(run, "clip") as at:
        way = direction_vectors.named(run, at, [along])[name]
    wanted = edited(run, clip, picture, lambda acts, _: acts + 9.0 * way / way.norm())
    assert np.allclose(one.steered, wanted, atol=1e-5)
    assert one.reconstruction is None


# --- Labels, images, captions ---


def test_chances_are_the_models_own(
    run: opening.Run, clip: CLIPModel, picture: live_models.Picture
) -> None:
    one = image_embeddings.seen(run, "clip", picture, [Setting()])
    labels = image_embeddings.labels(run, "clip", one.key, WORDS, "a photo of {}")
    with live_models.studied(run, "clip") as at:
        pixels = at.adapter.prepare([picture.image]).tensors
        words = at.adapter.read_words([f"a photo of {w}" for w in WORDS], longest=32)
    with torch.inference_mode():
        wanted = clip(**pixels, **words.inputs.tensors).logits_per_image.softmax(1)[0]
    made = shifted(labels, one)
    assert {s.name: s.unsteered for s in made} == pytest.approx(
        dict(zip(WORDS, wanted.tolist(), strict=True)), abs=1e-5
    )
    # The same image in one batch; with how many threads a sum is made tells in its last bits.
    assert all(abs(s.change) < 1e-6 and s.reconstruction is None for s in made)


def test_siglip_and_openclip_tell_their_own_logits(tmp_path: Path) -> None:
    folder = families.siglip(tmp_path / "siglip")
    model = SiglipModel.from_pretrained(folder)
    with torch.no_grad():
        model.logit_scale.fill_(2.5)
        model.logit_bias.fill_(-3.0)
    model.save_pretrained(folder)
    found = logits_of(AutoConfig.from_pretrained(folder), str(folder), revision=None)
    assert found == Logits(pytest.approx(np.exp(2.5)), pytest.approx(-3.0))
    cosines = torch.tensor([0.1, 0.9, -0.5])
    wanted = torch.sigmoid(cosines.double() * found.scale - 3.0)
    assert torch.allclose(found.chances(cosines), wanted)
    unit = np.eye(3, dtype=np.float32)
    labels = Labels(("a", "b", "c"), unit, found.scale, found.bias)
    assert labels.chances(cosines.numpy()[None])[0] == pytest.approx(wanted.tolist(), abs=1e-6)
    openclip = families.openclip(tmp_path / "openclip")
    settings = config.Model(id=str(openclip), family="openclip", hooks=(JOINT,))
    adapter = models.load(settings, device="cpu")
    scale = adapter.text_tower.logit_scale.exp().item()
    assert adapter.logits == Logits(pytest.approx(scale), None)


def test_a_file_without_logits_says_so(tmp_path: Path) -> None:
    clip = CLIPModel.from_pretrained(CLIP_FOLDER)
    described = clip.config
    clip.vision_model.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="lack"):
        logits_of(described, str(tmp_path), revision=None)


def test_images_come_from_the_encoder_with_the_same_weights(run: opening.Run) -> None:
    with live_models.studied(run, "clip") as at:
        key = at.key
    held = image_embeddings.images(run, "clip", key, same=True)
    fresh = image_embeddings.images(run, "clip", key, same=False)
    assert np.array_equal(np.sort(held.ids), np.sort(fresh.ids))
    place = {int(one): i for i, one in enumerate(held.ids)}
    ordered = held.vectors[[place[int(one)] for one in fresh.ids]]
    assert np.allclose(ordered, fresh.vectors, atol=1e-5)


def test_captions_are_embedded_by_the_models_text_tower(run: opening.Run, clip: CLIPModel) -> None:
    with live_models.studied(run, "clip") as at:
        key = at.key
    found = image_embeddings.captions(run, "clip", key)
    with live_models.studied(run, "clip") as at:
        words = at.adapter.read_words(found.texts[:5], longest=32)
    with torch.inference_mode():
        made = clip.text_projection(clip.text_model(**words.inputs.tensors).pooler_output)
    wanted = torch.nn.functional.normalize(made, dim=1).numpy()
    assert np.allclose(found.vectors[:5], wanted, atol=1e-5)
    assert len(set(found.texts)) == len(found.texts) == len(found.ids)


def test_the_nearest_and_what_is_new() -> None:
    vectors = np.eye(4, dtype=np.float32)
    among = Among(np.array([10, 11, 12, 13]), vectors)
    before = among.nearest(np.array([1, 0.5, 0.25, 0], np.float32), count=2)
    after = among.nearest(np.array([0, 0.5, 1, 0.25], np.float32), count=2, but=11)
    assert [place for place, _ in before] == [0, 1]
    assert after == [(2, 1.0), (3, 0.25)]
    assert new(after, before) == {2, 3}


def test_tags_of_a_kind_stand_in_each_others_place() -> None:
    rng = np.random.default_rng(0)
    together: Counter[tuple[str, str]] = Counter()
    for _ in range(2000):
        few = rng.random() < 0.3  # scenes of one object have one colour, one shape
        tags = {"one"} if few else {"two"}
        tags |= set(rng.choice(["red", "green", "blue", "white"], 1 if few else 2, replace=False))
        tags |= set(rng.choice(["star", "ring", "cross"], 1 if few else 2, replace=False))
        together.update((str(a), str(b)) for a in tags for b in tags)
    assert set(rivals("green", 2000, together)) == {"green", "red", "blue", "white"}
    assert rivals("ring", 2000, together)[0] == "ring"
    assert set(rivals("ring", 2000, together)) == {"ring", "star", "cross"}
    assert rivals("no tag", 2000, together) == ["no tag"]


def test_labels_begin_with_those_of_the_features_kind(opened: Opened, run: opening.Run) -> None:
    tags = queries.marks(run.connection)
    kinds = {tag: rivals(tag, *queries.together(run.connection, limit=50)) for tag in tags}
    with live_models.studied(run, "clip") as studied:
        knows = studied.adapter.reader.knows
    tag = next(
        tag for tag, kind in kinds.items() if 1 < len(kind) < len(tags) and all(map(knows, kind))
    )
    at = opened(along=f"9;add;{HOOK}/tag:{tag}")
    sets = at.segmented_control(key="steer-labels")
    assert sets.options[:2] == [f"Tags like “{tag}”", "All tags"]
    assert sets.value == "like"
    assert f"over these {len(kinds[tag])} labels and add up to 1" in said(at)
    charts = at.get("vega_lite_chart") or at.get("arrow_vega_lite_chart")
    drawn = charts[0].proto.spec
    assert [other for other in tags if f'"{other}"' in drawn] == [
        other for other in tags if other in kinds[tag]
    ]
    at.segmented_control(key="steer-labels").set_value("tags").run()
    assert at.query_params["labels"] in ("tags", ["tags"])


def test_labels_that_change_most_come_first_and_charts_hold_them() -> None:
    labels = Labels(("a", "b", "c"), np.eye(3, dtype=np.float32), 5.0, None)
    rows = np.array([[1, 0.2, 0], [0.9, 0.3, 0], [0, 0.1, 1]], np.float32)
    made = shifted(labels, Seen(rows[0], rows[1], rows[2], rows[:0], "", ""))
    assert [s.name for s in made] == ["c", "a", "b"]
    assert sum(s.steered for s in made) == pytest.approx(1)
    drawn = label_charts.before_and_after(made).to_dict()
    (rows,) = drawn["datasets"].values() if "datasets" in drawn else [drawn["data"]["values"]]
    assert [row["way"] for row in rows[:3]] == list(WAYS)
    lines = label_charts.over_strengths(
        ["a", "c"], [0.0, 1.0], np.array([[0.1, 0.9], [0.4, 0.6]]), title="x", chosen=1.0
    ).to_dict()
    assert json.dumps(lines).count('"chance": 0.9') == 1


# --- Faults ---


def test_faults_are_one_line_and_the_next_works(
    run: opening.Run, picture: live_models.Picture, features: list[int]
) -> None:
    for setting, why in (
        (turned([999], 1.0), "no feature 999"),
        (turned([features[0], features[0]], 1.0), "edited twice"),
    ):
        with pytest.raises(live_models.Unavailable, match=why) as caught:
            image_embeddings.seen(run, "clip", picture, [setting])
        assert "\n" not in str(caught.value)
    fine = image_embeddings.seen(run, "clip", picture, [turned(features, 1.0)])
    assert np.isfinite(fine.steered).all()
    assert len(live_models.shared().turns) == 0


# --- The page ---


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, speaking_run: Path) -> Opened:
    def start(**parameters: str) -> AppTest:
        return open_page(monkeypatch, speaking_run, "steering", **parameters)

    return start


def exported(at: AppTest) -> bool:
    return any(one.proto.id for one in at.get("download_button"))


def test_without_a_feature_the_page_shows_the_image_as_it_is(opened: Opened) -> None:
    at = opened()
    text = said(at)
    assert "Nothing is steered yet" in text
    assert "Nearest captions" in text
    assert "Of 8" in text or "val images" in text
    assert not at.warning
    assert exported(at)


def test_a_link_opens_a_setting_again(opened: Opened, features: list[int]) -> None:
    key = f"{SAE}:{features[0]}"
    at = opened(features=key, at="2", mode="add", labels="own", words="red, blue,, red")
    assert not at.exception
    (slider,) = at.slider
    assert slider.value == 2.0
    assert at.segmented_control(key="steer-mode").value == "add"
    assert at.text_input(key="steer-words").value == "red, blue,, red"
    charts = at.get("vega_lite_chart") or at.get("arrow_vega_lite_chart")
    assert len(charts) == 2  # bars, and the sweep
    drawn = json.loads(charts[0].proto.spec)
    assert "red" in json.dumps(drawn)
    slider.set_value(4.0).run()
    assert at.query_params["at"] == "4"
    at.segmented_control(key="steer-mode").set_value("ablate").run()
    charts = at.get("vega_lite_chart") or at.get("arrow_vega_lite_chart")
    assert len(charts) == 1  # nothing has a strength
    assert not at.slider


def test_what_of_a_link_cannot_be_is_said(opened: Opened) -> None:
    at = opened(features=f"{SAE}:9999~nowhere/x/y:1", example="17", labels="own", words="one")
    lines = [one.value for one in at.warning]
    assert any("Not all of this link can be" in line for line in lines)
    assert any("no image 17" in line for line in lines)
    at = opened(labels="own", words="one")
    assert "at least two labels" in said(at)
    at = opened(template="no place")
    assert "The sentence needs" in said(at)


def test_a_model_without_a_text_tower_still_shows_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_encoder: Path
) -> None:
    silent = tiny.clip(tmp_path / "clip")
    folder = make_speaking_run(tmp_path, encoder=tiny_encoder, clip=silent)
    live_models.shared.clear()
    at = open_page(monkeypatch, folder / "run", "steering")
    text = said(at).replace("\\", "")
    assert "No labels: the files of" in text
    assert "No nearest captions: the files of" in text
    assert shows(at, "strips")
    rows = [
        json.loads(one.proto.json)["rows"]
        for one in at.get("bidi_component")
        if one.proto.component_name == "loupe_strips"
    ]
    assert ["unsteered", "steered"] in [[row["name"] for row in of] for of in rows]


# --- In a browser ---


@pytest.mark.browser
@pytest.mark.usefixtures("quiet")
def test_a_slider_moves_the_labels(
    page: "Page",
    speaking_run: Path,
    dashboard_server: Callable[..., str],
    features: list[int],
    tmp_path: Path,
) -> None:
    url = dashboard_server(speaking_run)
    page.goto(f"{url}/steering?features={SAE}:{features[0]}&at=0.25")
    # The model loads, and reads all captions, beside whatever else the machine does.
    page.get_by_role("heading", name="Nearest captions").wait_for(timeout=180_000)
    cosine = page.locator(".figures dd").first
    cosine.wait_for()
    before = cosine.inner_text()
    page.get_by_role("slider").first.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "(was) => document.querySelector('.figures dd')?.textContent !== was", arg=before
    )
    page.wait_for_url(lambda address: "at=5.25" in address)
    page.locator(".near-captions li").nth(15).wait_for()
    assert page.locator(".near-captions li").count() == 16
    page.screenshot(path=tmp_path / "steered.png")
