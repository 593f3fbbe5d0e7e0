"""Models load from folders, say where their tokens are, and fail in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, CLIPModel

from pipeline import config, models
from pipeline.models.encoder import ImageEncoder
from pipeline.models.families.clip import ClipAdapter
from pipeline.models.hook_points import LAYER_POINTS
from pipeline.models.layout import Layout, code
from pipeline.models.loading import ModelError
from pipeline.run import identity

PICTURES = [tiny.picture(seed) for seed in range(3)] + [tiny.picture(3, side=77)]


def settings(folder: Path | str, **more: object) -> config.Model:
    return config.Model(id=str(folder), hooks=("vision.0.resid_post",), **more)


def load_clip(folder: Path | str) -> ClipAdapter:
    return ClipAdapter(settings(folder, family="clip"), machine=config.Machine(), device="cpu")


@pytest.fixture(scope="module")
def adapter(tiny_clip: Path) -> models.Adapter:
    return models.load(settings(tiny_clip), device="cpu")


@pytest.fixture(scope="module")
def whole(tiny_clip: Path) -> CLIPModel:
    """The same weights as Hugging Face's own class for both towers."""
    return CLIPModel.from_pretrained(tiny_clip).eval()


def test_hook_points(adapter: models.Adapter) -> None:
    layers = [f"vision.{i}.{point}" for i in range(tiny.LAYERS) for point in LAYER_POINTS]
    assert list(adapter.hook_points) == [*layers, "vision.projection"]
    last = adapter.hook_points["vision.2.resid_post"]
    assert (last.tower, last.layer, last.point) == ("vision", 2, "resid_post")
    assert (last.d_in, last.depth) == (tiny.WIDTH, 2)
    joint = adapter.hook_points["vision.projection"]
    assert (joint.layer, joint.depth, joint.d_in) == (None, tiny.LAYERS, tiny.JOINT)
    depths = [p.depth for p in adapter.hook_points.values()]
    assert depths == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_negative_layers_count_from_the_last(adapter: models.Adapter) -> None:
    assert adapter.resolve("vision.-1.resid_post").name == "vision.2.resid_post"
    assert adapter.resolve("vision.-3.resid_post").name == "vision.0.resid_post"
    assert adapter.resolve("vision.1.resid_post").name == "vision.1.resid_post"


@pytest.mark.parametrize(
    "hook",
    ["vision.3.resid_post", "vision.-4.resid_post", "vision.1.mlp", "language.0.resid_post",
     "vision", "", "vision.one.resid_post", "vision.-1.projection"],
)  # fmt: skip
def test_an_unknown_hook_point_is_refused_with_those_there_are(
    adapter: models.Adapter, hook: str
) -> None:
    with pytest.raises(ModelError) as refused:
        adapter.resolve(hook)
    assert f"no hook point {hook!r}" in str(refused.value)
    assert "vision.LAYER.POINT with LAYER 0 to 2 and POINT attn_out" in str(refused.value)
    assert str(refused.value).endswith("; vision.projection")


def test_a_hook_point_that_is_named_twice_is_refused(tiny_clip: Path) -> None:
    twice = config.Model(id=str(tiny_clip), hooks=("vision.2.mlp_out", "vision.-1.mlp_out"))
    with pytest.raises(ModelError, match="which is named twice; remove one"):
        models.load(twice, device="cpu")


def test_layout(adapter: models.Adapter) -> None:
    layout = adapter.layout(adapter.prepare(PICTURES[:1]), "vision.0.resid_post")
    assert layout.grid == (4, 4)
    assert layout.read("cls")[0].tolist() == [True] + [False] * 16
    assert layout.read("patches")[0].tolist() == [False] + [True] * 16
    assert layout.read("all").all()
    assert not layout.read("text").any()
    for tokens in ("cls", "patches", "text", "all"):
        assert Layout.whole(2).read(tokens).tolist() == [[True], [True]]


@torch.no_grad()
def test_records_are_those_of_hugging_face(adapter: models.Adapter, whole: CLIPModel) -> None:
    inputs = adapter.prepare(PICTURES)
    acts = adapter.record(inputs, list(adapter.hook_points))
    states = whole.vision_model(**inputs.tensors, output_hidden_states=True).hidden_states
    for i in range(tiny.LAYERS):
        point = adapter.hook_points[f"vision.{i}.resid_post"]
        assert acts[point.name].shape == (4, point.tokens, point.d_in)
        torch.testing.assert_close(acts[point.name], states[i + 1], rtol=0, atol=1e-5)
    joint = whole.get_image_features(**inputs.tensors)
    joint = joint if isinstance(joint, torch.Tensor) else joint.pooler_output
    assert acts["vision.projection"].shape == (4, 1, tiny.JOINT)
    torch.testing.assert_close(acts["vision.projection"][:, 0], joint, rtol=0, atol=1e-5)


def test_inputs_are_those_of_the_models_own_processor(
    adapter: models.Adapter, tiny_clip: Path
) -> None:
    own = AutoImageProcessor.from_pretrained(tiny_clip)(images=PICTURES, return_tensors="pt")
    assert torch.equal(adapter.prepare(PICTURES).tensors["pixel_values"], own["pixel_values"])


def test_patches_are_in_reading_order(tmp_path: Path) -> None:
    """A change within one patch of the picture changes the first layer most at its position, where
    attention is weak."""
    adapter = models.load(settings(tiny.clip(tmp_path, scale=1)), device="cpu")
    plain = Image.new("RGB", (tiny.SIDE, tiny.SIDE), "grey")
    marked = plain.copy()
    marked.paste("red", (16, 8, 24, 16))  # third column, second row
    batch = adapter.prepare([plain, marked])
    layout = adapter.layout(batch, "vision.0.resid_post")
    acts = adapter.record(batch, ["vision.0.resid_post"])
    change = (acts["vision.0.resid_post"][1] - acts["vision.0.resid_post"][0]).norm(dim=1)
    patch = change[layout.kind[0] == code("patch")].argmax().item()
    assert layout.grid is not None
    assert divmod(patch, layout.grid[1]) == (1, 2)


def test_half_precision_is_kept(tiny_clip: Path) -> None:
    half = models.load(settings(tiny_clip, dtype="bfloat16"), device="cpu")
    acts = half.record(half.prepare(PICTURES), ["vision.1.resid_post"])
    assert acts["vision.1.resid_post"].dtype == torch.bfloat16


def refusal(make: Callable[[], object], name: Path | str) -> str:
    """The one line in which a model is refused."""
    with pytest.raises(ModelError) as refused:
        make()
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith(f"model {name}: ")
    return message


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub, as where HF_HUB_OFFLINE is set; without it the retries take some 20 seconds."""
    import huggingface_hub.constants
    import transformers.utils.hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    if hasattr(transformers.utils.hub, "_is_offline_mode"):
        monkeypatch.setattr(transformers.utils.hub, "_is_offline_mode", True)


BOTH = pytest.mark.parametrize(
    "load",
    [
        load_clip,
        lambda name: ImageEncoder(config.Encoder(id=str(name)), device="cpu"),
    ],
    ids=["model", "encoder"],
)


@pytest.mark.parametrize("name", ["/nowhere/clip", "./clip", "../a/b", "a/b/c", "clip", "~/clip"])
def test_a_missing_folder(name: str) -> None:
    """Refused before anything is loaded, or looked for at the hub."""
    with pytest.raises(config.ConfigError) as refused:
        identity.model_identity(name, None)
    assert str(refused.value).startswith(f"model {name}: no such folder; name a folder")
    assert identity.model_identity("some/clip", "v1") == "some/clip@v1"


@BOTH
@pytest.mark.usefixtures("offline")
def test_a_hub_that_is_not_to_be_had(load: Callable[[str], object]) -> None:
    message = refusal(lambda: load("nobody/nothing"), "nobody/nothing")
    assert "check the name and the network, or download it and name its folder" in message


@BOTH
def test_an_empty_folder(load: Callable[[Path], object], tmp_path: Path) -> None:
    assert "it needs config.json and weights" in refusal(lambda: load(tmp_path), tmp_path)


@BOTH
@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model_type": "nonesuch"}'])
def test_a_damaged_config(load: Callable[[Path], object], content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content)
    refusal(lambda: load(tmp_path), tmp_path)


@BOTH
def test_damaged_weights(load: Callable[[Path], object], tiny_clip: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_clip, tmp_path / "clip")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    refusal(lambda: load(folder), folder)


@BOTH
def test_missing_weights(load: Callable[[Path], object], tiny_clip: Path, tmp_path: Path) -> None:
    """Weights that the file does not hold would be drawn at random, without a word."""
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_clip, tmp_path / "clip")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: t for name, t in tensors.items() if "vision_model.encoder.layers.1" not in name}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert "weights" in refusal(lambda: load(folder), folder)


@BOTH
def test_weights_of_another_shape(
    load: Callable[[Path], object], tiny_clip: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_clip, tmp_path / "clip")
    described = json.loads((folder / "config.json").read_text())
    described["vision_config"]["hidden_size"] = 2 * tiny.WIDTH
    (folder / "config.json").write_text(json.dumps(described))
    refusal(lambda: load(folder), folder)


@BOTH
def test_no_image_processor(
    load: Callable[[Path], object], tiny_clip: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_clip, tmp_path / "clip")
    (folder / "preprocessor_config.json").unlink()
    refusal(lambda: load(folder), folder)


def test_another_family(tmp_path: Path, tiny_encoder: Path) -> None:
    for folder in (tiny.bert(tmp_path / "bert"), tiny_encoder):
        message = refusal(lambda at=folder: load_clip(at), folder)
        assert "CLIP" in message
    bert = tmp_path / "bert"
    refusal(lambda: ImageEncoder(config.Encoder(id=str(bert)), device="cpu"), bert)


def test_a_gated_model_names_the_licence_and_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's own error, as huggingface_hub makes it of a 403 answer."""
    import httpx
    from huggingface_hub.errors import GatedRepoError

    def gated(*_: object, **__: object) -> object:
        request = httpx.Request("GET", "https://hub.invalid/some/gated/config.json")
        answer = httpx.Response(403, request=request)
        cause = GatedRepoError("403 Client Error.\n\nCannot access gated repo", response=answer)
        raise OSError("You are trying to access a gated repo.\nMake sure to have access") from cause

    monkeypatch.setattr(AutoConfig, "from_pretrained", gated)
    message = refusal(lambda: load_clip("some/gated"), "some/gated")
    assert "accept its licence on https://huggingface.co/some/gated" in message
    assert "HF_TOKEN" in message


def test_numbers_in_a_name_are_no_status(monkeypatch: pytest.MonkeyPatch) -> None:

    def lost(*_: object, **__: object) -> object:
        raise OSError("Can't load the model some/clip-401: no file named config.json")

    monkeypatch.setattr(AutoConfig, "from_pretrained", lost)
    message = refusal(lambda: load_clip("some/clip-401"), "some/clip-401")
    assert "gated" not in message


@pytest.mark.parametrize("kind", ["clip", "resnet", "dinov2"])
def test_an_encoder_gives_unit_vectors(
    kind: str, tmp_path: Path, tiny_clip: Path, tiny_encoder: Path
) -> None:
    folder = {"clip": tiny_clip, "resnet": tiny_encoder}.get(kind) or tiny.dinov2(tmp_path / kind)
    encoder = ImageEncoder(config.Encoder(id=str(folder)), device="cpu")
    vectors = encoder.embed(PICTURES)
    assert vectors.shape == (4, {"clip": tiny.JOINT, "resnet": 16, "dinov2": 16}[kind])
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    assert (vectors[0] - vectors[1]).abs().max() > 1e-4, "it tells pictures apart"
    one_by_one = torch.cat([encoder.embed([image]) for image in PICTURES])
    np.testing.assert_allclose(vectors, one_by_one, atol=1e-5)


@torch.no_grad()
def test_a_contrastive_encoder_gives_its_joint_embedding(tiny_clip: Path, whole: CLIPModel) -> None:
    encoder = ImageEncoder(config.Encoder(id=str(tiny_clip)), device="cpu")
    pixels = AutoImageProcessor.from_pretrained(tiny_clip)(images=PICTURES, return_tensors="pt")
    pooled = whole.vision_model(**pixels).pooler_output
    joint = torch.nn.functional.normalize(whole.visual_projection(pooled), dim=1)
    torch.testing.assert_close(encoder.embed(PICTURES), joint, rtol=0, atol=1e-5)
