"""LLaVA-NeXT: the picture whole and in tiles of higher resolution, flattened into the batch."""

import math
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.image_processing_utils import select_best_resolution

from pipeline.models import layout as layouts
from pipeline.models import parts
from pipeline.models.families.generic import ROW_END, GenericAdapter
from pipeline.models.families.llava import complete, miscounted
from pipeline.models.hook_points import Region
from pipeline.models.inputs import Inputs
from pipeline.models.layout import Layout, code


class LlavaNextAdapter(GenericAdapter):
    """A `LlavaNextForConditionalGeneration`.

    Row 0 of an image in the vision tower is the whole picture squeezed into a square, the rest are
    its tiles, line by line. The grid is that of the whole picture; a tile's patch lies in the cell
    that holds its middle, or is padding where its middle is outside the picture.
    """

    model_types = ("llava_next",)

    def _equip(self, processor: Any) -> None:
        complete(processor, self.model.config, cls_tokens=parts.cls_tokens(self.vision.stack))
        if getattr(processor, "image_processor", None) is not None:
            processor.image_processor.image_grid_pinpoints = self.model.config.image_grid_pinpoints
        super()._equip(processor)

    def unfit(self, inputs: Inputs) -> str | None:
        found = int((inputs.tensors["input_ids"] == self.image_token).sum())
        wanted = len(self.image_cells(inputs)[0])
        return super().unfit(inputs) or miscounted(found, wanted)

    @cached_property
    def token_grid(self) -> tuple[int, int] | None:
        return self.vision.grid

    def region(self, size: tuple[int, int]) -> Region:
        return (0, 0, *size)

    def boxes(self, inputs: Inputs, hook: str) -> Float[Tensor, "r t 4"]:
        layout = self.layout(inputs, hook)
        found = torch.full((*layout.kind.shape, 4), torch.nan)
        patches = [self._patch_boxes(size).flatten(0, 1) for size in inputs.sizes]
        if self.resolve(hook).tower == "language":
            at = inputs.tensors["input_ids"] == self.image_token
            for row, (boxes, order) in enumerate(zip(patches, self._packed(inputs), strict=True)):
                found[row, at[row]] = torch.where(order[:, None] < 0, torch.nan, boxes[order])
            return found
        rows = torch.cat([b.unflatten(0, (-1, self._cells)) for b in patches])
        found[:, -self._cells :] = rows
        return torch.where((layout.kind == code("patch"))[..., None], found, torch.nan)

    @property
    def _cells(self) -> int:
        """Patches of a tile."""
        assert self.vision.grid is not None
        return self.vision.grid[0] * self.vision.grid[1]

    def _patches(self, inputs: Inputs) -> Layout:
        return self._tiles(inputs, parts.cls_tokens(self.vision.stack))

    def _projected(self, inputs: Inputs) -> Layout:
        return self._tiles(inputs, 0)

    def _tiles(self, inputs: Inputs, leading: int) -> Layout:
        """Rows of `leading` CLS tokens and the patches of one tile each."""
        cells = [self._cell_of(size) for size in inputs.sizes]
        example = torch.repeat_interleave(
            torch.arange(len(cells)), torch.tensor([len(c) for c in cells])
        )
        cell = torch.cat(cells)
        kind = torch.where(cell < 0, code("pad"), code("patch")).to(torch.int8)
        front = torch.full((len(cell), leading), -1)
        front_kind = torch.full(front.shape, code("cls"), dtype=torch.int8)
        return Layout(
            torch.cat([front_kind, kind], 1), example, torch.cat([front, cell], 1), self.token_grid
        )

    def image_cells(self, inputs: Inputs) -> list[Tensor]:
        cells = [self._cell_of(size).flatten() for size in inputs.sizes]
        return [
            torch.where(order < 0, ROW_END, c[order])
            for c, order in zip(cells, self._packed(inputs), strict=True)
        ]

    def _packed(self, inputs: Inputs) -> list[Tensor]:
        """For each example which patch of which tile each image token is (tile * patches + patch);
        -1 for the ends of rows. The model's own packing, of numbers in place of vectors."""
        features = []
        for size in inputs.sizes:
            tiles = len(self._patch_boxes(size))
            numbers = torch.arange(tiles * self._cells, dtype=torch.float64)
            features.append(numbers.view(tiles, self._cells, 1))
        packed, _ = self._inner.pack_image_features(
            features,
            torch.tensor([(height, width) for width, height in inputs.sizes]),
            vision_feature_select_strategy="default",
            image_newline=torch.tensor([-1.0], dtype=torch.float64),
        )
        return [order[:, 0].long() for order in packed]

    def _cell_of(self, size: tuple[int, int]) -> Tensor:
        """For each patch of each tile its cell, -1 where its middle is outside the picture."""
        assert self.vision.grid is not None
        rows, columns = self.vision.grid
        boxes = self._patch_boxes(size)
        x = (boxes[..., 0] + boxes[..., 2]) / 2 / size[0] * columns
        y = (boxes[..., 1] + boxes[..., 3]) / 2 / size[1] * rows
        inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
        return torch.where(inside, y.floor() * columns + x.floor(), -1).long()

    def _patch_boxes(self, size: tuple[int, int]) -> Float[Tensor, "tiles p 4"]:
        """The boxes of all tiles' patches in the picture's pixels, as the processor cuts them."""
        assert self.vision.grid is not None
        width, height = size
        side = self.model.config.vision_config.image_size
        best = select_best_resolution((height, width), self.model.config.image_grid_pinpoints)
        scale = min(best[1] / width, best[0] / height)
        inner_width = min(math.ceil(width * scale), best[1])
        inner_height = min(math.ceil(height * scale), best[0])
        left, top = (best[1] - inner_width) // 2, (best[0] - inner_height) // 2
        x, y = width / inner_width, height / inner_height
        tiles = [layouts.boxes((0, 0, width, height), self.vision.grid)]
        for row in range(best[0] // side):
            for column in range(best[1] // side):
                corner_x, corner_y = column * side - left, row * side - top
                region = (corner_x * x, corner_y * y, (corner_x + side) * x, (corner_y + side) * y)
                tiles.append(layouts.boxes(region, self.vision.grid))
        return torch.stack(tiles)


ADAPTER = LlavaNextAdapter
