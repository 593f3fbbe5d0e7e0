"""Encoders that embed words: as each family's own code does, whatever else is in the batch."""

from pathlib import Path

import pytest
import tiny
import tiny_families as families
import torch
from tiny_families import LONGEST, VOCABULARY
from transformers import CLIPModel, SiglipModel

from pipeline import config
from pipeline.models.encoder import ImageEncoder
from pipeline.models.loading import ModelError

TEXTS = ["a dog", "", "cat", "of more letters than it reads"]


def encoder(folder: Path, **more: object) -> ImageEncoder:
    return ImageEncoder(config.Encoder(id=str(folder), **more), device="cpu")


def unit(vectors: torch.Tensor) -> torch.Tensor:
    return vectors / vectors.norm(dim=-1, keepdim=True)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.speaking_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.speaking_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def openclip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return families.openclip(tmp_path_factory.mktemp("openclip"))


def letters(text: str) -> list[int]:
    """Its tokens, `<bos>` and a letter each."""
    return [VOCABULARY.index(part) for part in ("<bos>", *text)]


def test_clip_embeds_each_text_as_alone(clip: Path) -> None:
    model = CLIPModel.from_pretrained(clip).eval()
    made = encoder(clip).embed_texts(TEXTS)
    for text, vector in zip(TEXTS, made, strict=True):
        ids = torch.tensor([letters(text)[:LONGEST]])
        with torch.no_grad():
            wanted = model.text_projection(model.text_model(input_ids=ids).pooler_output)
        torch.testing.assert_close(vector, unit(wanted[0]), atol=1e-5, rtol=0)
    assert (made[0] - made[2]).norm() > 0.01, "the model tells words apart"


def test_siglip_reads_every_text_padded_to_its_full_length(siglip: Path) -> None:
    model = SiglipModel.from_pretrained(siglip).eval()
    made = encoder(siglip).embed_texts(TEXTS[:3])
    for text, vector in zip(TEXTS[:3], made, strict=True):
        ids = (letters(text) + [VOCABULARY.index("<pad>")] * LONGEST)[:LONGEST]
        mask = torch.tensor([[1] * len(letters(text)) + [0] * LONGEST])[:, :LONGEST]
        with torch.no_grad():
            wanted = model.text_model(torch.tensor([ids]), attention_mask=mask).pooler_output
        torch.testing.assert_close(vector, unit(wanted[0]), atol=1e-5, rtol=0)
    # Alone or with a longer one: not as long as the longest of the batch, but always full.
    torch.testing.assert_close(encoder(siglip).embed_texts(["cat"])[0], made[2])


def test_openclip_embeds_words_by_its_own_tokenizer(openclip: Path) -> None:
    import open_clip

    model = open_clip.create_model(f"local-dir:{openclip}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{openclip}")(TEXTS)
    assert tokens.shape == (len(TEXTS), LONGEST)
    with torch.no_grad():
        wanted = unit(model.encode_text(tokens))
    speaking = encoder(openclip, family="openclip")
    assert speaking.speaks
    assert speaking.knows("zyzzyva")
    torch.testing.assert_close(speaking.embed_texts(TEXTS), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", ["clip", "siglip", "openclip"])
def test_words_and_images_share_a_space(family: str, request: pytest.FixtureRequest) -> None:
    more = {"family": "openclip"} if family == "openclip" else {}
    made = encoder(request.getfixturevalue(family), **more)
    assert made.speaks
    words, images = made.embed_texts(["a cat"] * 300), made.embed([tiny.picture(0)])
    assert words.shape == (300, images.shape[1])
    assert words.dtype == torch.float32
    torch.testing.assert_close(words.norm(dim=1), torch.ones(300))
    meta = ImageEncoder(config.Encoder(id=made.settings.id, **more), device="meta")
    assert meta.speaks


def test_words_without_a_token_are_not_known(clip: Path) -> None:
    made = encoder(clip)
    assert made.knows("a cat")
    assert not made.knows("käse")


def test_an_encoder_without_words_says_so(tiny_encoder: Path, tiny_clip: Path) -> None:
    for folder in (tiny_encoder, tiny_clip):  # no text tower; no tokenizer
        made = encoder(folder)
        assert not made.speaks
        assert not made.knows("cat")
        with pytest.raises(ModelError, match=r"embeds no words; name a contrastive model") as fault:
            made.embed_texts(["a cat"])
        assert str(folder) in str(fault.value)


def test_no_texts_are_refused(clip: Path) -> None:
    with pytest.raises(ModelError, match="no texts"):
        encoder(clip).embed_texts([])
