"""Processors that lack keys, weights of another model, activations that are not finite."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_families as families
import torch
from safetensors.torch import load_file, save_file

from pipeline import config, models
from pipeline.models import hub
from pipeline.models.encoder import ImageEncoder
from pipeline.models.loading import ModelError, pick_device

PICTURES = [tiny.picture(i, side=60) for i in range(3)]
PROMPTS = ["abc", "What is it?", ""]
DEVICES = pytest.mark.parametrize("device", ["cpu", "meta"])


def refusal(make: Callable[[], object]) -> str:
    """The one line in which a model is refused."""
    with pytest.raises(ModelError) as refused:
        make()
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a family's folder, to be changed."""
    return lambda name: Path(shutil.copytree(families.folder(name), tmp_path / name))


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    described = json.loads(file.read_text())
    change(described)
    file.write_text(json.dumps(described))


def reweigh(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


# ---- processors


OLD = ("patch_size", "num_additional_image_tokens", "vision_feature_select_strategy", "image_token")


@pytest.mark.parametrize("name", ["llava", "llava-full", "llava-next"])
@pytest.mark.parametrize("lacking", [*((key,) for key in OLD), OLD])
def test_what_a_processor_of_llava_lacks_is_the_models(
    name: str, lacking: tuple[str, ...], changed: Callable[[str], Path]
) -> None:
    folder = changed(name)
    edit(folder / "processor_config.json", lambda d: [d.pop(key, None) for key in lacking])
    edit(folder / "tokenizer_config.json", lambda d: d.pop("pad_token"))
    edit(folder / "tokenizer.json", lambda d: d.update(padding=None))
    wanted = families.adapter(name).prepare(PICTURES, PROMPTS).tensors
    adapter = models.load(families.settings(name, at=folder), device="cpu")
    made = adapter.prepare(PICTURES, PROMPTS).tensors
    assert made.keys() == wanted.keys()
    for key in wanted:
        torch.testing.assert_close(made[key], wanted[key], rtol=0, atol=0)
    acts = adapter.record(adapter.prepare(PICTURES, PROMPTS), ["language.1.resid_post"])
    assert acts["language.1.resid_post"].isfinite().all()


@DEVICES
def test_a_tokenizer_without_any_token_to_pad_with(
    device: str, changed: Callable[[str], Path]
) -> None:
    folder = changed("llava")
    edit(folder / "tokenizer_config.json", lambda d: [d.pop(k) for k in ("pad_token", "eos_token")])
    edit(folder / "config.json", lambda d: d["text_config"].update(pad_token_id=None))
    edit(folder / "config.json", lambda d: d.update(pad_token_id=None))
    line = refusal(lambda: models.load(families.settings("llava", at=folder), device=device))
    assert "has no pad_token; name one in its tokenizer_config.json" in line


@DEVICES
def test_a_tokenizer_without_the_image_token(device: str, changed: Callable[[str], Path]) -> None:
    folder = changed("llava")
    edit(folder / "config.json", lambda d: d.update(image_token_index=11, image_token_id=11))
    line = refusal(lambda: models.load(families.settings("llava", at=folder), device=device))
    assert "mend image_token_id (or image_token_index) in config.json" in line


@DEVICES
def test_a_processor_that_makes_pictures_of_another_size(
    device: str, changed: Callable[[str], Path], tiny_clip: Path, tmp_path: Path
) -> None:
    for name, key in (("clip", "crop_size"), ("siglip", "size"), ("paligemma", "size")):
        folder = changed(name)
        named = "preprocessor_config.json"
        file = folder / (named if (folder / named).exists() else "processor_config.json")
        side = {"height": 40, "width": 40}

        def other(d: dict[str, Any], key: str = key, side: object = side) -> None:
            d.get("image_processor", d)[key] = side

        edit(file, other)
        line = refusal(
            lambda: models.load(families.settings(name, at=folder), device=device)  # noqa: B023
        )
        assert "40 x 40 pixels" in line and "image_size = 32" in line
    encoder = config.Encoder(id=str(tmp_path / "clip"))
    assert "40 x 40 pixels" in refusal(lambda: ImageEncoder(encoder, device=device))


@pytest.mark.parametrize("size", [32, {"shortest_edge": 32}])
@pytest.mark.parametrize("crop", [32, {"height": 32, "width": 32}])
def test_every_form_of_size_is_the_same(
    size: Any, crop: Any, changed: Callable[[str], Path]
) -> None:
    folder = changed("clip")
    edit(folder / "preprocessor_config.json", lambda d: d.update(size=size, crop_size=crop))
    adapter = models.load(families.settings("clip", at=folder), device="cpu")
    wanted = families.adapter("clip")
    pixels = adapter.prepare(PICTURES).tensors["pixel_values"]
    assert torch.equal(pixels, wanted.prepare(PICTURES).tensors["pixel_values"])
    assert adapter.region((80, 60)) == wanted.region((80, 60))


def test_paligemma_counts_its_image_tokens_where_its_processor_does_not(
    changed: Callable[[str], Path],
) -> None:
    folder = changed("paligemma")
    for file in folder.glob("*processor_config.json"):
        edit(file, lambda d: d.get("image_processor", d).pop("image_seq_length", None))
    for device in ("cpu", "meta"):
        adapter = models.load(families.settings("paligemma", at=folder), device=device)
        ids = adapter.prepare(PICTURES, PROMPTS).tensors["input_ids"]
        wanted = families.adapter("paligemma").prepare(PICTURES, PROMPTS).tensors["input_ids"]
        assert torch.equal(ids, wanted)


@DEVICES
@pytest.mark.parametrize("length", [3, 9])
def test_a_processor_that_counts_otherwise_than_the_model(
    length: int, device: str, changed: Callable[[str], Path]
) -> None:
    for name in ("paligemma", "gemma3"):
        folder = changed(name)
        for file in folder.glob("*processor_config.json"):
            edit(file, lambda d: d.update(image_seq_length=length))
            edit(file, lambda d: d.get("image_processor", {}).update(image_seq_length=length))
        line = refusal(
            lambda: models.load(families.settings(name, at=folder), device=device)  # noqa: B023
        )
        assert "image_seq_length" in line


@DEVICES
def test_a_tokenizer_of_a_larger_model(device: str, changed: Callable[[str], Path]) -> None:
    folder = changed("gemma2")
    edit(folder / "config.json", lambda d: d.update(vocab_size=40))
    names = ("model.embed_tokens.weight", "lm_head.weight")
    reweigh(folder, lambda t: t.update({n: t[n][:40].clone() for n in names if n in t}))
    line = refusal(lambda: models.load(families.settings("gemma2", at=folder), device=device))
    assert "its weights embed 40" in line


# ---- weights


@DEVICES
def test_weights_that_the_config_leaves_out(device: str, changed: Callable[[str], Path]) -> None:
    """A checkpoint of three layers by a config of two would give the second's activations."""
    folder = changed("clip")
    edit(folder / "config.json", lambda d: d["vision_config"].update(num_hidden_layers=2))
    settings = families.settings("clip", at=folder)
    line = refusal(lambda: models.load(settings, device=device))
    assert "hold 16 weights that CLIPVisionModelWithProjection leaves out" in line
    assert "vision_model.encoder.layers.2." in line
    encoder = config.Encoder(id=str(folder))
    assert "leaves out" in refusal(lambda: ImageEncoder(encoder, device=device))


@DEVICES
@pytest.mark.parametrize(
    ("name", "key"),
    [("clip", "vision_model.encoder.layers.0.self_attn.q_proj.lora_A.weight"),
     ("llava", "model.language_model.layers.0.self_attn.q_proj.bias"),
     ("gemma2", "model.layers.1.self_attn.q_norm.weight"),
     ("siglip", "vision_model.head.gate.weight")],
)  # fmt: skip
def test_weights_that_no_module_takes(
    name: str, key: str, device: str, changed: Callable[[str], Path]
) -> None:
    folder = changed(name)
    reweigh(folder, lambda t: t.update({key: torch.ones(4)}))
    line = refusal(lambda: models.load(families.settings(name, at=folder), device=device))
    assert "leaves out" in line and key.rpartition(".")[0].split(".")[-1] in line


@DEVICES
def test_weights_of_another_shape_are_named(device: str, changed: Callable[[str], Path]) -> None:
    folder = changed("clip")
    reweigh(folder, lambda t: t.update({"visual_projection.weight": torch.ones(16, 30)}))
    line = refusal(lambda: models.load(families.settings("clip", at=folder), device=device))
    assert "visual_projection.weight is [16, 30], not [16, 32]" in line


def test_keys_that_change_nothing_are_no_fault(changed: Callable[[str], Path]) -> None:
    folder = changed("clip")
    reweigh(
        folder,
        lambda t: t.update({
            "vision_model.embeddings.position_ids": torch.arange(17)[None],
            "text_model.embeddings.position_ids": torch.arange(8)[None],
        }),
    )  # fmt: skip
    models.load(families.settings("clip", at=folder), device="cpu")
    ImageEncoder(config.Encoder(id=str(folder)), device="cpu")
    folder = changed("llava")
    name = "model.language_model.layers.0.self_attn.rotary_emb.inv_freq"
    reweigh(folder, lambda t: t.update({name: torch.ones(6)}))
    models.load(families.settings("llava", at=folder), device="cpu")


def test_an_encoder_with_a_head_of_classes(tmp_path: Path) -> None:
    """As microsoft/resnet-50 and the finetuned DINOv2s have it."""
    from transformers import ResNetConfig, ResNetForImageClassification

    settings = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
    )
    ResNetForImageClassification(settings).save_pretrained(tmp_path)
    tiny.processor(tmp_path)
    assert ImageEncoder(config.Encoder(id=str(tmp_path)), device="cpu").embed(PICTURES).shape == (
        3, 16
    )  # fmt: skip


# ---- open_clip


QUICK = ["ViT-B-32/openai", "ViT-B-32/laion400m_e31", "ViT-H-14/dfn5b", "ViT-B-16/metaclip_400m"]


@pytest.mark.parametrize("tag", QUICK)
def test_weights_trained_with_quickgelu_are_not_run_with_gelu(tag: str) -> None:
    settings = config.Model(id=tag, family="openclip", hooks=("vision.0.resid_post",))
    architecture, _, weights = tag.partition("/")
    for device in ("cpu", "meta"):
        encoder = config.Encoder(id=tag, family="openclip")
        for load in (
            lambda d=device: models.load(settings, device=d),
            lambda d=device, e=encoder: ImageEncoder(e, device=d),
        ):
            line = refusal(load)
            assert line.startswith(f"model {tag}: ") and "QuickGELU" in line
            assert line.endswith(f"name {architecture}-quickgelu/{weights}")


def test_every_tag_of_open_clip_runs_its_activation_or_is_refused() -> None:
    import open_clip

    from pipeline.models import openclip_sources as sources

    refused = 0
    for architecture, tag in open_clip.list_pretrained():
        known = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
        built = open_clip.get_model_config(architecture).get("quick_gelu", False)
        if known and not built:
            refused += 1
            line = refusal(partial(sources.find, f"{architecture}/{tag}"))
            sources.find(line.rpartition(" ")[2])
        else:
            assert sources.find(f"{architecture}/{tag}").weights == tag
    assert refused > 10


def test_the_form_of_a_tag_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from open_clip import pretrained
    from open_clip.transformer import QuickGELU

    def fetched(*_: object, **__: object) -> None:
        raise AssertionError("fetched")

    for owner in (huggingface_hub, pretrained):
        monkeypatch.setattr(owner, "hf_hub_download", fetched)
    monkeypatch.setattr(pretrained, "download_pretrained_from_url", fetched)
    for tag, quick in (("ViT-B-32-quickgelu/openai", True), ("ViT-B-32/laion2b_s34b_b79k", False)):
        settings = config.Model(id=tag, family="openclip", hooks=("vision.0.resid_post",))
        adapter = models.load(settings, device="meta")
        assert adapter.resolve("vision.11.resid_post").d_in == 768
        found = [m for m in adapter.model.modules() if isinstance(m, QuickGELU)]
        assert bool(found) == quick
        assert all(p.is_meta for p in adapter.model.parameters())


@pytest.mark.parametrize(
    ("file", "holds"),
    [("config.json", {"vision_config": {"hidden_act": "quick_gelu"}}),
     ("config.json", {"architecture": "vit_base_patch32_clip_quickgelu_224"}),
     ("vit_b_32-quickgelu-laion400m.safetensors", None)],
)  # fmt: skip
def test_files_of_one_folder_that_tell_of_two_activations(
    file: str, holds: dict[str, Any] | None, changed: Callable[[str], Path]
) -> None:
    folder = changed("openclip")
    settings = families.settings("openclip", at=folder)
    if holds is None:
        (folder / "open_clip_model.safetensors").rename(folder / file)
    else:
        (folder / file).write_text(json.dumps(holds))
    for device in ("cpu", "meta"):
        line = refusal(partial(models.load, settings, device=device))
        assert f"{file} tells of weights trained with QuickGELU" in line
    edit(folder / "open_clip_config.json", lambda d: d["model_cfg"].update(quick_gelu=True))
    models.load(settings, device="cpu")


# ---- what is not finite


def loud(folder: Path, name: str, value: float) -> None:
    """A weight of the folder's model with this number in it."""
    reweigh(folder, lambda t: torch.flatten(t[name])[:1].fill_(value))


NAN_AT = {
    "clip": "vision_model.encoder.layers.1.mlp.fc2.bias",
    "siglip": "vision_model.encoder.layers.1.mlp.fc2.bias",
    "gemma2": "model.layers.1.mlp.down_proj.weight",
}


@pytest.mark.parametrize("name", NAN_AT)
def test_a_weight_that_is_not_a_number_is_named(name: str, changed: Callable[[str], Path]) -> None:
    folder = changed(name)
    loud(folder, NAN_AT[name], float("nan"))
    adapter = models.load(families.settings(name, at=folder), device="cpu")
    inputs = adapter.prepare(PICTURES, PROMPTS)
    tower = adapter.towers[0].name
    adapter.record(inputs, [f"{tower}.0.resid_post"])  # before it all is well
    line = refusal(lambda: list(adapter.recorded(inputs, [f"{tower}.1.resid_post"])))
    assert line.startswith(f"model {folder}: ")
    assert f"activations at {tower}.1.resid_post are not finite numbers in float32" in line
    assert NAN_AT[name].partition("layers.1")[2] in line


def test_what_overflows_names_the_dtype_and_a_wider_one(changed: Callable[[str], Path]) -> None:
    folder = changed("clip")
    loud(folder, "vision_model.encoder.layers.1.mlp.fc2.bias", 60_000.0)
    loud(folder, "vision_model.encoder.layers.2.mlp.fc2.bias", 60_000.0)
    half = models.load(families.settings("clip", at=folder, dtype="float16"), device="cpu")
    inputs = half.prepare(PICTURES)
    half.record(inputs, ["vision.1.resid_post"])
    line = refusal(lambda: half.record(inputs, ["vision.2.resid_post"]))
    assert "vision.2.resid_post are not finite numbers in float16" in line
    assert "set dtype to bfloat16 or float32" in line
    whole = models.load(families.settings("clip", at=folder, dtype="bfloat16"), device="cpu")
    whole.record(whole.prepare(PICTURES), ["vision.2.resid_post"])


def test_captions_and_encoders_are_checked_too(tmp_path: Path) -> None:
    folder = families.speaking_clip(tmp_path / "clip")
    loud(folder, "text_model.encoder.layers.0.mlp.fc2.bias", float("inf"))
    settings = config.Model(id=str(folder), hooks=("vision.projection",))
    adapter = models.load(settings, device="cpu")
    words = adapter.read_words(["a dog"], longest=8)
    line = refusal(lambda: list(adapter.recorded_words(words, ["vision.projection"])))
    assert "text_model.encoder.layers.0.mlp.fc2.bias" in line
    encoder = ImageEncoder(config.Encoder(id=str(folder)), device="cpu")
    assert "not finite" in refusal(lambda: encoder.embed_texts(["a dog"]))
    loud(folder, "vision_model.encoder.layers.0.mlp.fc2.bias", float("nan"))
    line = refusal(lambda: ImageEncoder(config.Encoder(id=str(folder)), device="cpu"))
    assert line.startswith(f"encoder {folder}: ") and "not finite" in line


# ---- the hub, devices


def test_where_the_hub_does_not_answer_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[str] = []

    class Away:
        def head(self, address: str, **_: object) -> None:
            asked.append(address)
            raise OSError("no way there")

        def __getattr__(self, name: str) -> None:
            raise AssertionError(f"{name}: the hub was asked although it does not answer")

    monkeypatch.setattr(huggingface_hub, "get_session", Away)
    monkeypatch.setattr(huggingface_hub.utils._http, "get_session", Away)
    monkeypatch.setattr(hub, "_known", {})
    for load in (
        lambda: models.load(
            config.Model(id="nobody/nothing", hooks=("vision.0.resid_post",)), device="meta"
        ),
        lambda: ImageEncoder(config.Encoder(id="nobody/other"), device="cpu"),
        lambda: ImageEncoder(
            config.Encoder(id="ViT-B-32/laion2b_s34b_b79k", family="openclip"), device="cpu"
        ),
        lambda: models.load(
            config.Model(id="hf-hub:a/b", family="openclip", hooks=("vision.0.resid_post",)),
            device="meta",
        ),
    ):
        assert "check the name and the network" in refusal(load)
    assert len(asked) == 1
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


def test_what_is_in_the_cache_needs_no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    commit = "0" * 40
    at = tmp_path / "models--some--clip"
    shutil.copytree(families.folder("clip"), at / "snapshots" / commit)
    (at / "refs").mkdir()
    (at / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "answers", lambda _: False)
    for device in ("meta", "cpu"):
        adapter = models.load(
            config.Model(id="some/clip", hooks=("vision.0.resid_post",)), device=device
        )
        assert adapter.resolve("vision.2.resid_post").d_in == tiny.WIDTH


@pytest.mark.parametrize("name", ["cuda:99", "nonesuch", "meta", "", "cpu:x", "mps:7", "xla"])
def test_a_device_that_is_not_to_be_had(name: str) -> None:
    assert f"machine.device = {name!r} is not to be had" in refusal(lambda: pick_device(name))


def test_configs_of_one_folder_that_scale_pictures_differently(
    changed: Callable[[str], Path],
) -> None:
    folder = changed("openclip")
    scaled = {"image_mean": [0.48, 0.45, 0.4], "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(scaled))
    settings = families.settings("openclip", at=folder)
    for device in ("cpu", "meta"):
        line = refusal(partial(models.load, settings, device=device))
        assert "preprocessor_config.json image_mean = [0.48, 0.45, 0.4]" in line
    clip = changed("clip")
    ours = {"model_cfg": {}, "preprocess_cfg": {"mean": [0.5] * 3}}
    (clip / "open_clip_config.json").write_text(json.dumps(ours))
    assert "mean = [0.5, 0.5, 0.5]" in refusal(
        lambda: models.load(families.settings("clip", at=clip), device="meta")
    )


@DEVICES
def test_a_processor_that_makes_numbers_that_are_not_finite(
    device: str, changed: Callable[[str], Path]
) -> None:
    folder = changed("clip")
    edit(folder / "preprocessor_config.json", lambda d: d.update(image_std=[0.0] * 3))
    line = refusal(lambda: models.load(families.settings("clip", at=folder), device=device))
    assert "mend image_mean, image_std" in line


def test_codes_and_weights_of_saes_that_are_not_finite() -> None:
    from pipeline.activations.recording import SparseReading
    from pipeline.models.layout import Layout
    from pipeline.saes.sae import SAE, SAEError

    point = families.adapter("clip").resolve("vision.0.resid_post")
    reads = config.TrainedSAE(kind="batchtopk", hooks=(point.name,), tokens="all")
    layout = Layout.of_patches(1, grid=(4, 4), cls_tokens=1)

    def sae(scale: float) -> SAE:
        weight = torch.full((point.d_in, 4), scale)
        return SAE(weight, torch.zeros(4), weight.T.clone(), torch.zeros(point.d_in), "relu")

    large = torch.full((1, 17, point.d_in), 1e10)
    SparseReading(point, reads, sae(1.0)).add(large, layout, first=0)
    with pytest.raises(SAEError, match=r"at vision.0.resid_post: makes activations that are not"):
        SparseReading(point, reads, sae(1e30)).add(large, layout, first=0)
    with pytest.raises(SAEError, match=r"W_enc holds numbers that are not finite"):
        SparseReading(point, reads, sae(float("nan")))
