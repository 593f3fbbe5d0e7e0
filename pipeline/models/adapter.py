"""What every model adapter offers: named hook points, inputs, and where the image is among them."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from pipeline import config, hooks
from pipeline.models import layout as layouts
from pipeline.models.finite import refuse_infinite
from pipeline.models.hook_points import LAYER_POINTS, HookPoint, Region, Tower
from pipeline.models.inputs import Inputs
from pipeline.models.layout import Layout, code
from pipeline.models.loading import ModelError
from pipeline.models.memory import Halving
from pipeline.models.words import Reader, Reads, Words

_HOOK = re.compile(r"^(?P<tower>[a-z]+)(\.(?P<layer>-?\d+))?\.(?P<point>[a-z_]+)$")
CAPTION = "{caption}"
"""What stands in a prompt for the example's first caption."""


class Adapter(ABC):
    """A model under study, in eval mode.

    Attributes:
        settings: as the run's config names it.
        model: its forward takes `Inputs.tensors`.
        device: where inputs go.
        options: what else its forward is called with.
        prompt: what is asked of each image when the settings name no prompt.
        model_types: what Hugging Face calls the models that it loads, by which its family is known;
            none where only a configuration can name it.
    """

    settings: config.Model
    model: Any  # a Hugging Face or open_clip module
    device: torch.device
    options: ClassVar[Mapping[str, Any]] = {}
    prompt: str = ""
    model_types: tuple[str, ...] = ()

    @property
    @abstractmethod
    def towers(self) -> Sequence[Tower]:
        """Its stacks of layers, in the order in which they run."""

    @property
    @abstractmethod
    def projection(self) -> HookPoint | None:
        """What leaves the vision tower, into the joint space or into the language model."""

    @abstractmethod
    def prepare(self, images: Sequence[Image.Image], prompts: Sequence[str] = ()) -> Inputs:
        """The model's inputs for RGB images, and for prompts where it reads words; on the CPU."""

    @abstractmethod
    def layout(self, inputs: Inputs, hook: str) -> Layout:
        """What the tokens of these inputs are at a hook point."""

    def unfit(self, inputs: Inputs) -> str | None:
        """Why the model does not take the inputs that its processor makes, with the key to mend;
        None where it does, as far as can be told without running it."""
        return None

    def inputs(
        self, pictures: Sequence[tuple[Any, Image.Image]], *, longest: int | None = None
    ) -> Inputs:
        """The inputs for examples with their pictures; in memory from which a GPU copies while it
        computes. Where the prompt names the caption, that is an example's first, empty where it
        has none.

        Args:
            longest: tokens of the caption that the prompt holds; all when not given.
        """
        asked = self.prompt if self.settings.prompt is None else self.settings.prompt
        captions = []
        for example, _ in pictures:
            caption = example.captions[0] if example.captions else ""
            captions.append(self.words(caption, longest=longest) if CAPTION in asked else "")
        made = self.prompted([image for _, image in pictures], asked, captions=captions)
        return made.pinned() if self.device.type == "cuda" else made

    def prompted(
        self, images: Sequence[Image.Image], asked: str, *, captions: Sequence[str]
    ) -> Inputs:
        """The inputs for RGB images, each asked `asked` with its caption in it; on the CPU."""
        return self.prepare(images, [asked.replace(CAPTION, caption) for caption in captions])

    def words(self, caption: str, *, longest: int | None = None) -> str:
        """A caption as it goes into a prompt: at most `longest` tokens of it, and none of the
        tokens that stand for something else than words, which it may hold by chance."""
        if not isinstance(self.reader, Reader):
            return caption
        if longest is None:
            return self.reader.plain(caption)
        return self.reader.short(caption, longest=longest)

    @property
    def reader(self) -> Reads | None:
        """What reads words without an image; None where words alone reach nothing in the model."""
        return None

    def takes_words(self, point: HookPoint) -> bool:
        """Whether words reach this hook point without an image."""
        return self.reader is not None and point.tower == "language"

    def read_words(self, texts: Sequence[str], *, longest: int) -> Words:
        """Texts as the model reads them without an image; on the CPU.

        Args:
            texts: of any script and length; a text may be empty.
            longest: tokens of each that are read, where the model reads no fewer.

        Raises:
            ModelError: it reads no words.
        """
        if self.reader is None:
            raise ModelError(
                f"model {self.settings.id}: reads no words without an image; it has no language "
                "model or text tower, or its folder lacks the tokenizer"
            )
        return self.reader.read(texts, longest=longest)

    def recorded_words(
        self, words: Words, names: Sequence[str]
    ) -> Iterator[tuple[int, dict[str, Tensor], Layout]]:
        """Texts in pieces that fit in memory.

        Yields:
            How many texts a piece holds; hook point -> activations [r, t, d_in]; what their tokens
            are: of `text` the cell is the place among the text's `Words.pieces`, or -1 where the
            whole text is one vector.

        Raises:
            ModelError: not even one text fits.
        """
        yield from self._fits.run(
            len(words),
            lambda start, end: (end - start, *self.record_words(words[start:end], names)),
        )

    def record_words(self, words: Words, names: Sequence[str]) -> tuple[dict[str, Tensor], Layout]:
        """A batch of texts at the hook points `names`, as in `recorded_words`."""
        found = self.layout(words.inputs, names[0])
        # What fills a text of no token is no word, whatever the tokenizer calls it.
        silent = torch.tensor([not pieces for pieces in words.pieces])[:, None]
        text = (found.kind == code("text")) & ~silent
        kind = torch.where(text | (found.kind == code("pad")), found.kind, code("special"))
        numbered = torch.where(text, text.cumsum(1) - 1, -1)
        return self.record(words.inputs, names), Layout(kind, found.example, numbered)

    def region(self, size: tuple[int, int]) -> Region:
        """Left, top, right, bottom of what the model sees of a picture of this width and height, in
        its pixels; may reach beyond it."""
        return (0, 0, *size)

    @property
    def fit(self) -> Literal["crop", "whole"]:
        """Whether the model sees the square centre of a picture or, squeezed, all of it."""
        return "whole" if self.region((200, 100)) == (0, 0, 200, 100) else "crop"

    def boxes(self, inputs: Inputs, hook: str) -> Float[Tensor, "r t 4"]:
        """Each patch's box (left, top, right, bottom) in the pixels of its picture; NaN for tokens
        that are no patch."""
        layout = self.layout(inputs, hook)
        found = torch.full((*layout.cell.shape, 4), torch.nan)
        if layout.grid is None:
            return found
        for row, example in enumerate(layout.example.tolist()):
            cells = layouts.boxes(self.region(inputs.sizes[example]), layout.grid)
            seen = layout.cell[row] >= 0
            found[row, seen] = cells[layout.cell[row, seen]]
        return found

    @cached_property
    def hook_points(self) -> Mapping[str, HookPoint]:
        """Every hook point by its name, from the first layer to the last."""
        points: list[HookPoint] = []
        depth = 0
        for tower in self.towers:
            points += tower.hook_points(depth=depth)
            depth += len(tower.layers)
            if tower.name == "vision" and self.projection is not None:
                points.append(self.projection)
                depth += 1
        return {point.name: point for point in points}

    def module(self, hook: str) -> nn.Module:
        """The module whose output is the hook point's activations."""
        return self.resolve(hook).module

    def stack(self, hook: str) -> nn.Module:
        """The module around it that runs once a forward."""
        return self.resolve(hook).stack

    def resolve(self, hook: str) -> HookPoint:
        """The hook point of this name; a negative layer counts from the last.

        Raises:
            ModelError: there is none such.
        """
        match = _HOOK.match(hook)
        if match and match["layer"] and match["layer"].startswith("-"):
            same = [
                p
                for p in self.hook_points.values()
                if (p.tower, p.point) == (match["tower"], match["point"]) and p.layer is not None
            ]
            if -int(match["layer"]) <= len(same):
                return same[int(match["layer"])]
        if hook not in self.hook_points:
            raise ModelError(f"no hook point {hook!r}; there are {self._names()}")
        return self.hook_points[hook]

    def forward(self, inputs: Inputs) -> Any:
        """The model's own forward, on its device."""
        return self.model(**inputs.on(self.device), **self.options)

    @torch.inference_mode()
    def generate(self, inputs: Inputs, **options: Any) -> Tensor:
        """Token ids [b, t], the prompt's first, as transformers' `generate` gives them.

        Args:
            options: of `generate`: max_new_tokens, do_sample, num_beams, ...
        """
        made: Tensor = self.model.generate(**inputs.on(self.device), **options)
        return made

    @torch.inference_mode()
    def record(self, inputs: Inputs, names: Sequence[str]) -> dict[str, Tensor]:
        """Activations of one batch at the hook points `names`.

        Returns:
            name -> [r, t, d_in] as its layout says, in the model's dtype on its device.

        Raises:
            ModelError: one that is not padding is not finite.
        """
        with hooks.record(self, names) as acts:
            self.forward(inputs)
        found = {name: a if a.ndim == 3 else a[:, None] for name, a in acts.items()}
        refuse_infinite(
            found,
            lambda name: self.layout(inputs, name).kind != code("pad"),
            self.model,
            who=f"model {self.settings.id}",
        )
        return found

    def recorded(
        self, inputs: Inputs, names: Sequence[str]
    ) -> Iterator[tuple[Inputs, dict[str, Tensor]]]:
        """The batch in pieces that fit in memory, each with its activations.

        Raises:
            ModelError: not even one example fits.
        """
        yield from self._fits.run(
            len(inputs),
            lambda start, end: (inputs[start:end], self.record(inputs[start:end], names)),
        )

    @cached_property
    def _fits(self) -> Halving:
        return Halving(f"model {self.settings.id}")

    def _names(self) -> str:
        layers = [
            f"{tower.name}.LAYER.POINT with LAYER 0 to {len(tower.layers) - 1} "
            f"and POINT {', '.join(LAYER_POINTS)}"
            for tower in self.towers
        ]
        rest = [point.name for point in self.hook_points.values() if point.layer is None]
        return "; ".join([*layers, *rest])
