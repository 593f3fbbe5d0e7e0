"""Whether an encoder is the image tower of a model under study, by their weights.

A model that judges itself finds what it sees alike alike: at its own projection that raises the gap
between SAEs and neurons several times. Names tell nothing of it: a copied folder, a checkpoint of
the tower alone and a LLaVA with that tower frozen are all the same tower.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from safetensors import safe_open
from torch import Tensor

from pipeline.config import ConfigError, RunConfig

SHARED = 1 / 3
"""The share of an encoder's matrices that make it the model's tower. Towers trained apart share
none. Other layouts of one tower share about half, as open_clip joins what transformers keeps as
three; and one of which the last layers were trained on still judges by the rest."""
_TAKEN = 64
"""Numbers that are compared of each matrix."""
_FEWEST = 8
_FLOATS = ("F64", "F32", "F16", "BF16")
_CLOSE = 1 / 64
"""Numbers nearer than this part of the matrix's mean size are equal: bfloat16 keeps 8 bits."""

Samples = Mapping[tuple[int, ...], list[Tensor]]
"""Shape of a matrix -> numbers from the middle of each one of that shape."""


def selves(run: RunConfig) -> dict[str, tuple[str, ...]]:
    """The encoders that judge and whose image tower is that of a model under study, with these
    models. Reads a few numbers of every matrix; of weights that are not on this machine yet only
    the name counts."""
    found: dict[str, tuple[str, ...]] = {}
    samples: dict[tuple[str, str | None, bool], Samples] = {}

    def of(part: tuple[str, str | None], *, images: bool = False) -> Samples:
        key = (*part, images)
        if key not in samples:
            samples[key] = _samples(*part, images=images)
        return samples[key]

    for name in run.judges:
        encoder = run.encoders[name]
        own = (encoder.id, encoder.revision)
        alike = []
        for model, settings in run.models.items():
            parts = [(settings.id, settings.revision)]
            if settings.vision is not None:
                parts.append((settings.vision, settings.vision_revision))
            if own in parts or any(_shares(of(own, images=True), of(part)) for part in parts):
                alike.append(model)
        if alike:
            found[name] = tuple(alike)
    return found


def refuse_selves(run: RunConfig) -> None:
    """Raises ConfigError where an encoder judges the model that it is, and its settings do not say
    that it is meant to."""
    for name, models in selves(run).items():
        if not run.encoders[name].judges_itself:
            raise ConfigError(
                f"encoders.{name}: has the image tower of models.{models[0]}, which would judge "
                "itself; name an independent encoder, as facebook/dinov2-base, and set "
                f"judges = false here, or set judges_itself = true if it is meant"
            )


def _shares(encoder: Samples, model: Samples) -> bool:
    """Whether enough of the encoder's matrices are the model's too."""
    count = sum(map(len, encoder.values()))
    alike = sum(
        any(_alike(one, other) for other in model.get(shape, ()))
        for shape, some in encoder.items()
        for one in some
    )
    return count > 0 and alike >= SHARED * count


def _alike(one: Tensor, other: Tensor) -> bool:
    size = one.abs().mean()
    return bool(size > 0 and (one - other).abs().max() <= _CLOSE * (size + one.abs().max()))


def _samples(name: str, revision: str | None, *, images: bool) -> Samples:
    """Numbers of each matrix in the files of a model; `images`: of its image tower alone, where
    its names tell that from the rest."""
    made: dict[tuple[int, ...], list[Tensor]] = {}
    some: dict[str, tuple[tuple[int, ...], Tensor]] = {}
    for file in _files(name, revision):
        some |= dict(_read(file))
    of_images = {key: one for key, one in some.items() if "vis" in key.lower()}
    for shape, numbers in (of_images if images and of_images else some).values():
        made.setdefault(shape, []).append(numbers)
    return made


def _read(file: Path) -> Iterator[tuple[str, tuple[tuple[int, ...], Tensor]]]:
    """Of each matrix in a file its name, shape and numbers from the middle; nothing of a file that
    cannot be read, of which loading tells more."""
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                for key in opened.keys():  # noqa: SIM118, it is no mapping
                    part = opened.get_slice(key)
                    shape = tuple(part.get_shape())
                    if part.get_dtype() in _FLOATS and _is_matrix(shape):
                        middle = shape[0] // 2
                        yield key, (shape, _numbers(part[middle : middle + 1]))
            return
        held = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        held = held.get("state_dict", held) if isinstance(held, dict) else {}
        for key, one in held.items():
            if isinstance(one, Tensor) and one.is_floating_point() and _is_matrix(one.shape):
                yield str(key), (tuple(one.shape), _numbers(one[one.shape[0] // 2]))
    except Exception:  # a damaged pickle may raise anything; loading the model tells of it
        return


def _is_matrix(shape: Sequence[int]) -> bool:
    """Whether rows are long enough to be told apart."""
    return len(shape) > 1 and shape[0] > 0 and math.prod(shape[1:]) >= _FEWEST


def _numbers(row: Tensor) -> Tensor:
    return row.flatten()[:_TAKEN].float()


def _files(name: str, revision: str | None) -> list[Path]:
    """A model's weights in its folder or in the hub's cache; none where they are not here yet."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        repository = name.removeprefix("hf-hub:")
        if repository.count("/") != 1:
            return []
        for file in ("config.json", "open_clip_config.json"):
            there = try_to_load_from_cache(repository, file, revision=revision)
            if isinstance(there, str):
                folder = Path(there).parent
    for pattern in ("*.safetensors", "*.bin", "*.pt"):
        if found := sorted(folder.glob(pattern)) if folder.is_dir() else []:
            return found
    return []
