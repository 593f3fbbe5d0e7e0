"""OpenCLIP (open_clip_torch): its own vision transformers, and timm's as SigLIP uses them."""

import codecs
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor, nn

from pipeline import config
from pipeline.models import hub, parts
from pipeline.models import openclip_sources as sources
from pipeline.models.hook_points import Region, Tower
from pipeline.models.image_tower import ImageTower
from pipeline.models.inputs import Inputs
from pipeline.models.loading import ModelError, quiet, telling
from pipeline.models.text_tower import Logits
from pipeline.models.words import Reads, Words, any_of, sliced, without


class OpenClipAdapter(ImageTower):
    """The image tower of an open_clip model; its text tower is loaded once words come.

    Its id is ARCHITECTURE/PRETRAINED as open_clip lists them (`ViT-B-32/laion2b_s34b_b79k`), a hub
    repository (`hf-hub:OWNER/NAME`), or a folder that holds `open_clip_config.json` and weights.
    """

    def __init__(self, settings: config.Model, *, machine: config.Machine, device: str) -> None:
        self.settings = settings
        self.device = torch.device(device)
        for key in ("quantization", "revision"):
            if getattr(settings, key) is not None:
                raise ModelError(f"model {settings.id}: open_clip knows no {key}; remove the key")
        self.model, self._transform = load_openclip(settings.id, device=device)
        self.model.to(getattr(torch, settings.dtype))

    @cached_property
    def reader(self) -> Reads | None:
        return reader_of(self.settings.id)

    @cached_property
    def text_tower(self) -> Any:
        model, _ = load_contrastive(self.settings.id, device=str(self.device))
        model.visual = nn.Identity()  # the images' own is there already
        return model.to(getattr(torch, self.settings.dtype))

    @cached_property
    def logits(self) -> Logits:
        scale, bias = self.text_tower.logit_scale, self.text_tower.logit_bias
        return Logits(scale.float().exp().item(), None if bias is None else bias.float().item())

    @cached_property
    def towers(self) -> Sequence[Tower]:
        trunk = getattr(self.model, "trunk", None)
        if trunk is None:
            grid, special = self.model.grid_size, 1
            layers = parts.find(self.model, ("transformer.resblocks",), what="layers")
            paths = ("ls_1", "ls_2")
        else:
            grid = parts.patch_grid(self.model.image_size, trunk.patch_embed)
            special = trunk.num_prefix_tokens
            layers = parts.find(trunk, ("blocks",), what="layers")
            paths = ("ls1", "ls2")
        assert isinstance(layers, nn.ModuleList | nn.Sequential)
        return [
            Tower(
                "vision",
                self.model,
                layers,
                trunk.embed_dim if trunk is not None else self.model.transformer.width,
                ("cls", "patch") if special else ("patch",),
                attention=paths[0],
                mlp=paths[1],
                tokens=special + grid[0] * grid[1],
                grid=(grid[0], grid[1]),
            )
        ]

    @property
    def joint(self) -> tuple[nn.Module, int]:
        head = getattr(self.model, "head", None)
        if head is None:
            return self.model, int(self.model.output_dim)
        # timm's towers end in a head that may be empty.
        widths = [m.out_features for m in head.modules() if isinstance(m, nn.Linear)]
        return self.model, int(widths[-1] if widths else self.model.trunk.num_features)

    def prepare(self, images: Sequence[Image.Image], prompts: Sequence[str] = ()) -> Inputs:
        pixels = torch.stack([self._transform(image) for image in images])
        dtype = getattr(torch, self.settings.dtype)
        return Inputs({"x": pixels.to(dtype)}, tuple(image.size for image in images))

    def unfit(self, inputs: Inputs) -> str | None:
        return None  # open_clip itself sets the size of pictures by the tower

    def region(self, size: tuple[int, int]) -> Region:
        shown = self.model.preprocess_cfg
        side = shown["size"] if isinstance(shown["size"], int) else shown["size"][0]
        if shown["resize_mode"] == "squash":
            return (0, 0, *size)
        width, height = size
        # Cropped to a square, or padded to one.
        scale = side / (max(size) if shown["resize_mode"] == "longest" else min(size))
        left, top = (width - side / scale) / 2, (height - side / scale) / 2
        return (left, top, width - left, height - top)


class OpenClipReader:
    """Reads with an open_clip tokenizer: its own, or one of Hugging Face that it wraps."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._inner = getattr(tokenizer, "tokenizer", None)

    def read(self, texts: Sequence[str], *, longest: int) -> Words:
        most = self.tokenizer.context_length
        around = 2 if self._inner is None else self._inner.num_special_tokens_to_add()
        given, pieces, cut = [], [], []
        # It removes NUL itself, behind which the other letters would not be found.
        for text in (without(self._special, text.replace("\0", "")) for text in texts):
            found = sliced(text, self._shown(text))
            kept = found[: max(0, min(longest, most) - around)]
            beyond = len(text) - sum(map(len, kept)) if len(kept) < len(found) else 0
            # Its tokenizers cut at the full length themselves; shorter ones are cut before.
            given.append(text[: len(text) - beyond] if longest < most else text)
            pieces.append(kept)
            cut.append(beyond)
        return Words(Inputs({"text": self.tokenizer(given)}), tuple(pieces), tuple(cut))

    def knows(self, text: str) -> bool:
        if self._inner is None:  # open_clip's own works on bytes: it knows everything
            return True
        ids = self._inner(text, add_special_tokens=False)["input_ids"]
        return self._inner.unk_token_id not in ids

    @cached_property
    def _special(self) -> re.Pattern[str]:
        if self._inner is not None:
            return any_of(self._inner.all_special_tokens)
        return any_of(self.tokenizer.decoder[token] for token in self.tokenizer.all_special_ids)

    def _shown(self, text: str) -> list[str]:
        """What each token of the text looks like; empty but for the last where several make one
        letter."""
        if self._inner is not None:
            ids = self._inner(self.tokenizer.clean_fn(text), add_special_tokens=False)["input_ids"]
            return [self._inner.decode([token]) for token in ids]
        letters = codecs.getincrementaldecoder("utf-8")("replace")
        shown = []
        for token in self.tokenizer.encode(text):
            word = self.tokenizer.decoder[token].removesuffix("</w>")
            shown.append(letters.decode(bytes(self.tokenizer.byte_decoder[c] for c in word)))
        return shown


def load_openclip(name: str, *, device: str) -> tuple[Any, Callable[[Image.Image], Tensor]]:
    """An open_clip model's image tower in eval mode, and the transform of its pictures.

    Raises:
        ModelError: as `load_contrastive`.
    """
    model, transform = load_contrastive(name, device=device)
    return model.visual, transform


def load_contrastive(name: str, *, device: str) -> tuple[Any, Callable[[Image.Image], Tensor]]:
    """An open_clip model with both towers in eval mode, and the transform of its pictures.

    On the device `meta` only its form, for which no weights are fetched.

    Raises:
        ModelError: it cannot be had, or would run its weights with another activation than theirs.
    """
    form = device == "meta"
    with _library(name), _placed(device):
        found = sources.find(name)
        if not form and not found.at_hand:
            raise OSError(f"no answer from {found.address}")
        model = open_clip.create_model(
            found.form if form else found.architecture,
            None if form else found.weights,
            device=device,
            load_weights=not form,
            require_pretrained=not form,
            pretrained_text=False,  # all weights are the checkpoint's
            force_preprocess_cfg=found.preprocess if form else None,
        )
        settings = PreprocessCfg(**model.visual.preprocess_cfg)
        return model.eval(), image_transform_v2(settings, is_train=False)


def reader_of(name: str) -> Reads | None:
    """What reads words for an open_clip model; None where its tokenizer's files are not to be had.

    Raises:
        ModelError: they are damaged.
    """
    try:
        with _library(name):
            return OpenClipReader(open_clip.get_tokenizer(sources.find(name).architecture))
    except ModelError as error:
        if isinstance(error.__cause__, OSError):
            return None
        raise


@contextmanager
def _library(name: str) -> Iterator[None]:
    """While open_clip loads `name`: its faults in one line, without what it logs on the way."""
    unheard, silent = logging.NullHandler(), logging.getLogger()
    with telling(name), quiet(), hub.asked_for(name.removeprefix(sources.HUB)):
        silent.addHandler(unheard)  # without any it would set up one of its own
        silent.addFilter(_nothing)
        try:
            yield
        finally:
            silent.removeFilter(_nothing)
            silent.removeHandler(unheard)


def _nothing(record: logging.LogRecord) -> bool:
    """Lets no record through: open_clip logs as nobody, which no other library does."""
    return False


def _placed(device: str) -> AbstractContextManager[Any]:
    """Where tensors are made: on `meta` nothing is."""
    return torch.device("meta") if device == "meta" else nullcontext()


ADAPTER = OpenClipAdapter
