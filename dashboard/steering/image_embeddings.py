"""Contrastive models live: what steering does to an image's place among labels, images, captions.

An image's embedding is what leaves the model's projection, at length 1. Unsteered, rebuilt and
steered are rows of one forward.
"""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dashboard import queries
from dashboard.bundle import cached, opening
from dashboard.faults import Unavailable, of_image
from dashboard.live import images as live_images
from dashboard.live import models
from dashboard.steering import direction_vectors, mean_activations
from dashboard.steering.joint_space import Among, Labels, Seen

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.interventions import Setting
    from pipeline.models.image_tower import ImageTower
    from pipeline.models.inputs import Inputs
    from pipeline.saes.sae import SAE

MOST_LABELS, MOST_IMAGES, MOST_CAPTIONS, MOST_SETTINGS = 64, 1000, 1000, 16
AT_ONCE = 32
Vectors = models.Vectors


def seen(
    run: opening.Run, model: str, picture: models.Picture, settings: "Sequence[Setting]"
) -> Seen:
    """The picture's embeddings: unsteered, rebuilt, steered by the first of the settings, and by
    each of the others, at most MOST_SETTINGS, at all of the image's tokens.

    Raises:
        live.Unavailable: the model, an SAE or a direction cannot be had, or an edit does not fit.
    """
    from pipeline.interventions import edits_of, replace, steering

    every = {d.dictionary_id: d for d in cached.dictionaries(run)}
    with models.studied(run, model) as at, mean_activations.faults():
        hook = _projection(at)

        def saes(dictionary_id: str) -> "SAE":
            return models.sae_of(run, every[dictionary_id], at.adapter)

        rebuilt: dict[str, list[Any]] = {}
        for name in dict.fromkeys(one.dictionary for one in settings[0].features):
            rebuilt.setdefault(every[name].hook, []).append(replace(saes(name), []))
        wanted = [rebuilt] if rebuilt else []
        for one in settings[:MOST_SETTINGS]:
            wanted.append(edits_of(one, saes, direction_vectors.named(run, at, one.directions)))
        with of_image():
            inputs = _repeated(at.adapter.prepare([picture.image]), 1 + len(wanted))
        with contextlib.ExitStack() as stack:
            for row, edits in enumerate(wanted, 1):
                if edits:
                    stack.enter_context(
                        steering(at.adapter, inputs, edits, scope="image", examples=[row])
                    )
            acts = at.adapter.record(inputs, [hook])[hook]
        rows = _unit(acts[:, 0])
    first = 1 + bool(rebuilt)
    if not np.isfinite(rows).all():
        raise Unavailable("the edited model computes no finite numbers; choose a smaller strength")
    return Seen(
        rows[0], rows[1] if rebuilt else None, rows[first], rows[first + 1 :], at.key, at.changed
    )


def labels(run: opening.Run, model: str, key: str, names: Sequence[str], template: str) -> Labels:
    """The labels in the template's sentence, as the model's own text tower embeds them; those with
    words that it has no tokens for are left out, for it cannot tell them apart.

    Args:
        key: of `Seen`: what is kept holds for these weights.
        names: at most MOST_LABELS count.
        template: with {} where the label goes.

    Raises:
        live.Unavailable: the model has no text tower, or it cannot be had.
    """
    names = tuple(names)[:MOST_LABELS]

    def made() -> Labels:
        with models.studied(run, model) as at, mean_activations.faults():
            from pipeline.models.words import known

            tower = _tower(at)
            assert tower.reader is not None
            there = tuple(name for name in names if not known(tower.reader, name).unknown)
            unknown = tuple(name for name in names if name not in there)
            sentences = [template.replace("{}", name) for name in there]
            vectors = _texts(sentences, at) if there else np.zeros((0, 0), np.float32)
            return Labels(there, vectors, tower.logits.scale, tower.logits.bias, unknown)

    found: Labels = models.shared().directions.get(("labels", key, names, template), made)
    return found


def images(run: opening.Run, model: str, key: str, *, same: bool) -> Among:
    """Val images in the model's joint space: all, where an encoder of the run has the same weights;
    else up to MOST_IMAGES at random, embedded live and kept.

    Args:
        key: of `Seen`.
        same: the model is the one that made the bundle.

    Raises:
        live.Unavailable: the model cannot be had, or none of the images.
    """
    twin = _twin(run, model) if same else None
    if twin is not None:
        held = cached.embeddings(run, twin)
        if len(held.ids):
            return Among(held.ids, held.vectors, source=f"{len(held.ids):,} val images")
    chosen = [one.example_id for one in queries.drawn(run.connection, 0, limit=MOST_IMAGES)]
    found = [
        _piece(run, model, ("images", key, tuple(piece)), partial(_images, run, piece))
        for piece in _pieces(chosen)
    ]
    ids = np.concatenate([of for of, _ in found]) if found else np.zeros(0, np.int64)
    if not len(ids):
        raise Unavailable("no val image is at hand; see that the run's source is there")
    return Among(ids, np.concatenate([v for _, v in found if len(v)]), source=_some(len(ids)))


def captions(run: opening.Run, model: str, key: str) -> Among:
    """First captions of val images, each once, as the model's own text tower embeds them: at most
    MOST_CAPTIONS, at random, kept. Empty where no val image has a caption.

    Args:
        key: of `Seen`.

    Raises:
        live.Unavailable: the model has no text tower, or it cannot be had.
    """
    known: dict[str, int] = {}
    for one in queries.drawn(run.connection, 0, limit=MOST_CAPTIONS):
        if one.captions:
            known.setdefault(one.captions[0], one.example_id)
    texts = tuple(known)
    if not texts:
        return Among(np.zeros(0, np.int64), np.zeros((0, 0), np.float32))
    found = [
        _piece(run, model, ("captions", key, piece), partial(_texts, piece))
        for piece in _pieces(texts)
    ]
    ids = np.array(list(known.values()), np.int64)
    return Among(ids, np.concatenate(found), texts, f"{len(texts):,} captions of val images")


def _twin(run: opening.Run, model: str) -> str | None:
    made_by = run.fingerprint(model)
    for one in queries.encoders(run.connection):
        known = queries.encoder_fingerprint(run.connection, one.encoder)
        if made_by is not None and known == made_by:
            return one.encoder
    return None


def _some(count: int) -> str:
    return f"{count:,} val images" + (", drawn at random" if count == MOST_IMAGES else "")


def _piece(run: opening.Run, model: str, key: Any, make: Callable[[models.Studied], Any]) -> Any:
    """What one turn of the model makes, kept."""

    def made() -> Any:
        with models.studied(run, model) as at, mean_activations.faults():
            return make(at)

    return models.shared().directions.get(key, made)


def _pieces(of: Any) -> Any:
    return [of[first : first + AT_ONCE] for first in range(0, len(of), AT_ONCE)]


def _images(
    run: opening.Run, ids: Sequence[int], at: models.Studied
) -> tuple[NDArray[np.int64], Vectors]:
    """(ids [n], unit embeddings [n, d]) of those images that are at hand."""
    looks = [(one, live_images.of_example(run, one)) for one in ids]
    there = [(one, look.picture) for one, look in looks if look and look.picture]
    hook = _projection(at)
    if not there:
        return np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
    inputs = at.adapter.prepare([picture.image for _, picture in there])
    made = [_unit(acts[hook][:, 0]) for _, acts in at.adapter.recorded(inputs, [hook])]
    return np.array([one for one, _ in there], np.int64), np.concatenate(made)


def _texts(texts: Sequence[str], at: models.Studied) -> Vectors:
    """Unit embeddings [n, d] of texts by the model's text tower."""
    hook = _projection(at)
    _tower(at)
    words = at.adapter.read_words(texts, longest=mean_activations.LONGEST)
    made = [_unit(acts[hook][:, 0]) for _, acts, _ in at.adapter.recorded_words(words, [hook])]
    return np.concatenate(made)


def _tower(at: models.Studied) -> "ImageTower":
    from pipeline.models.image_tower import ImageTower

    if not isinstance(at.adapter, ImageTower) or at.adapter.reader is None:
        raise Unavailable(
            f"the files of {at.adapter.settings.id} hold no text tower with its tokenizer: labels "
            "and captions need one"
        )
    return at.adapter


def _projection(at: models.Studied) -> str:
    point = at.adapter.projection
    if point is None or point.tokens != 1:
        raise Unavailable(
            f"the model {at.adapter.settings.id} makes no one vector of an image; choose a "
            "contrastive model, as CLIP or SigLIP"
        )
    return point.name


def _repeated(inputs: "Inputs", times: int) -> "Inputs":
    """One example's inputs, as often."""
    from pipeline.models.inputs import Inputs

    tensors = {name: one.repeat_interleave(times, 0) for name, one in inputs.tensors.items()}
    return Inputs(tensors, inputs.sizes * times)


def _unit(vectors_bd: "Tensor") -> Vectors:
    import torch

    found: Vectors = torch.nn.functional.normalize(vectors_bd.float(), dim=1).cpu().numpy()
    return found
