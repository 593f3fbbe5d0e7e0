"""The models behind a bundle, live: the model under study with its SAEs, and the encoders.

They load once for all visitors, when first asked for, and serve one visitor at a time in a fair
queue. Whatever is not to be had raises `Unavailable`; pages go on with what the tables tell.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from dashboard import queries
from dashboard.bundle import opening
from dashboard.faults import Unavailable, of_image, told
from dashboard.live import share, waiting
from dashboard.live.lru import Kept
from dashboard.live.queue import Turns
from dashboard.records.dictionaries import Dictionary
from dashboard.records.images import Example, Fired
from pipeline import config
from pipeline.inputs import examples, pictures, readers, reading
from pipeline.run import identity as run_identity

if TYPE_CHECKING:  # torch takes seconds to import: only for those who ask for a model
    from pipeline.models import Adapter
    from pipeline.models.encoder import ImageEncoder
    from pipeline.models.words import Known
    from pipeline.saes.sae import SAE


Vectors = NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Picture:
    """An image to look at.

    Attributes:
        image: upright, RGB.
        captions: what a model's prompt may name.
    """

    image: Image.Image
    uri: str = "the image"
    captions: tuple[str, ...] = ()
    key: str = field(init=False)
    """Tells it from other pictures."""

    def __post_init__(self) -> None:
        content = hashlib.sha256(self.image.tobytes())
        content.update(repr((self.image.size, self.captions)).encode())
        object.__setattr__(self, "key", content.hexdigest())


@dataclass(frozen=True, eq=False)
class Studied:
    """A model under study, to be used inside its `with` only.

    Attributes:
        key: names the model by its settings and weights.
        changed: where it is not the one that made the bundle, a line that says so; else empty.
        model: what the bundle calls it.
    """

    adapter: "Adapter"
    key: str
    changed: str
    model: str


class Live:
    """What all visitors share: the queue, and what is loaded."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.models: Kept[Adapter] = Kept(1)
        self.saes: Kept[SAE] = Kept(6)
        self.encoders: Kept[ImageEncoder] = Kept(2)
        self.acts: Kept[tuple[Any, Any]] = Kept(8)
        self.encoded: Kept[Any] = Kept(256)
        self.readers: Kept[readers.Reader] = Kept(2)
        self.directions: Kept[Any] = Kept(256)

    @contextmanager
    def turn(self, say: waiting.Say) -> Iterator[None]:
        """One's turn, which the visitor's page waits for; `say` is told how long it takes."""
        share.shared().leave()
        with self.turns.turn(lambda before: say(waiting.place(before))):
            yield


@st.cache_resource(show_spinner=False)
def shared() -> Live:
    """The one of this server."""
    return Live()


@contextmanager
def studied(run: opening.Run, model: str) -> Iterator[Studied]:
    """The model called `model` in the bundle, for one's turn; says on the page how long it takes.

    Raises:
        Unavailable: it cannot be had.
    """
    live = shared()
    with waiting.line() as say, told(), live.turn(say):
        settings = _settings(run, config.Model, "models", model)
        identity = run_identity.weights_identity(settings)
        key = json.dumps([settings.model_dump(mode="json"), identity])
        if key not in live.models:
            say(f"Loading the model {settings.id}, once for all visitors …")
        _offline()
        from pipeline import models
        from pipeline.models.loading import pick_device

        adapter = live.models.get(key, lambda: models.load(settings, device=pick_device("auto")))
        made_by = run.fingerprint(model)
        same = made_by in (None, identity)
        changed = "" if same else _CHANGED.format(settings.id)
        with share.shared().model():  # from here on: nobody need wait while it loads
            yield Studied(adapter, key, changed, model)


def sae_of(run: opening.Run, dictionary: Dictionary, adapter: "Adapter") -> "SAE":
    """The dictionary's SAE, on the model's device; to be called inside `studied`.

    Raises:
        Unavailable: it is not in the bundle, or not for this model.
    """
    from pipeline.saes.sae import SAE, SAEError

    folder = run.bundle.sae(dictionary.dictionary_id)
    if not folder.is_dir():
        raise Unavailable(
            f"the SAE {dictionary.dictionary_id} is not in the bundle's folder saes/; copy it "
            "there, or run the pipeline again"
        )
    with told():
        key = (run.key, dictionary.dictionary_id, str(adapter.device))
        try:
            sae = shared().saes.get(key, lambda: SAE.load(folder).to(adapter.device))
        except SAEError as error:
            raise Unavailable(str(error)) from error
    width = adapter.resolve(dictionary.hook).d_in
    if sae.d_in != width:
        raise Unavailable(
            f"the SAE {dictionary.dictionary_id} reads {sae.d_in} dimensions, and the model has "
            f"{width} there: it is another model; run the pipeline again"
        )
    return sae


def fired(run: opening.Run, dictionary: Dictionary, picture: Picture) -> Fired:
    """The features of the dictionary that fire on the picture, and on which of its patches: the
    pipeline's own codes, for one image.

    Raises:
        Unavailable: the model or the SAE cannot be had, or memory is not enough.
    """
    with studied(run, dictionary.model) as at:
        import torch

        from dashboard.live import image_features

        with torch.inference_mode():
            hooks = [*at.adapter.settings.hooks, dictionary.hook]
            names = sorted({at.adapter.resolve(hook).name for hook in hooks})
            key = (at.key, picture.key, *names)
            acts, layouts = shared().acts.get(key, lambda: _record(run, at.adapter, picture, names))
            sae = None if dictionary.basis == "neurons" else sae_of(run, dictionary, at.adapter)
            here = acts[dictionary.hook].to(at.adapter.device)
            made = image_features.of_image(here, layouts[dictionary.hook], sae, dictionary)
            left, top, right, bottom = at.adapter.region(picture.image.size)
            wide, high = picture.image.size
            region = (left / wide, top / high, right / wide, bottom / high)
            return replace(made, region=region, changed=at.changed)


def embed_words(run: opening.Run, encoder: str, texts: Sequence[str]) -> Vectors:
    """Unit embeddings [n, d] of texts by one of the run's encoders.

    Raises:
        Unavailable: it cannot be had, or embeds no words.
    """

    def embed(loaded: "ImageEncoder") -> Vectors:
        if not loaded.speaks:
            raise Unavailable(f"the encoder {encoder} embeds no words; name a contrastive one")
        made: Vectors = loaded.embed_texts(texts).numpy()
        return made

    return _asked(run, encoder, ("words", *texts), embed)


def known(run: opening.Run, encoder: str, texts: Sequence[str]) -> "list[Known]":
    """Each text as far as one of the run's encoders has tokens for its words.

    Raises:
        Unavailable: the encoder cannot be had.
    """
    return _asked(run, encoder, ("known", *texts), lambda loaded: [*map(loaded.known, texts)])


def embed_image(run: opening.Run, encoder: str, image: Image.Image) -> Vectors:
    """Unit embedding [d] of an RGB image by one of the run's encoders.

    Raises:
        Unavailable: it cannot be had.
    """

    def embed(loaded: "ImageEncoder") -> Vectors:
        with of_image():
            made: Vectors = loaded.embed([image]).numpy()[0]
        return made

    return _asked(run, encoder, ("image", Picture(image).key), embed)


def opened(data: bytes) -> Image.Image:
    """An image file that a visitor gives, upright in RGB.

    Raises:
        Unavailable: it cannot be read (see `pictures.read_rgb`).
    """
    try:
        return pictures.read_rgb(io.BytesIO(data))
    except pictures.Unreadable as error:
        raise Unavailable(f"this image cannot be used: {error}") from None


def blank() -> Picture:
    """A picture of nothing."""
    return Picture(pictures.blank(), "blank")


def original(run: opening.Run, example: Example, sha256: str) -> Picture:
    """The picture of an example as the pipeline read it, from the run's source.

    Raises:
        Unavailable: the source is not at hand, or the picture is another one now.
    """
    with told():
        found = run.setting("examples")
        if found is None:
            raise Unavailable("the bundle does not say where its images come from")
        settings = config.Examples.model_validate(found)
        _offline()
        key = settings.model_dump_json()
        reader = shared().readers.get(key, lambda: readers.reader(settings.source))
        wanted = examples.Example(example.example_id, example.uri, "val")
        _, image = reading.picture(reader, wanted)
    if hashlib.sha256(image.tobytes()).hexdigest() != sha256:
        raise Unavailable(f"{example.uri} is another picture than when the bundle was made")
    return Picture(image, example.uri, tuple(example.captions))


def captions(run: opening.Run) -> config.Captions:
    """How the run read captions."""
    return config.Captions.model_validate(run.setting("captions") or {})


def _record(
    run: opening.Run, adapter: "Adapter", picture: Picture, names: list[str]
) -> tuple[Any, Any]:
    """Activations of one image at the hook points, on the CPU, and their layouts."""
    seen = examples.Example(0, picture.uri, "val", picture.captions)
    longest = captions(run).longest
    with of_image():
        inputs = adapter.inputs([(seen, picture.image)], longest=longest)
    (part, acts), *_ = adapter.recorded(inputs, names)
    layouts = {name: adapter.layout(part, name) for name in names}
    return {name: kept.cpu() for name, kept in acts.items()}, layouts


def _asked(
    run: opening.Run, encoder: str, what: tuple[str, ...], ask: "Callable[[ImageEncoder], T]"
) -> T:
    """What `ask` makes of `what` with the encoder, kept for the next who asks the same."""
    live = shared()
    with told():
        settings = _settings(run, config.Encoder, "encoders", encoder)
        identity = run_identity.model_identity(settings.id, settings.revision)
        made_by = queries.encoder_fingerprint(run.connection, encoder)
    if made_by != identity:
        raise Unavailable(
            f"the encoder {settings.id} is another one than when the bundle was made, and their "
            "embeddings cannot be compared; run the pipeline again"
        )
    key = (settings.model_dump_json(), identity)

    def made() -> T:
        with waiting.line() as say, told(), live.turn(say):
            if key not in live.encoders:
                say(f"Loading the encoder {settings.id}, once for all visitors …")
            _offline()
            from pipeline.models.encoder import ImageEncoder
            from pipeline.models.loading import pick_device

            loaded = live.encoders.get(
                key, lambda: ImageEncoder(settings, device=pick_device("auto"))
            )
            with share.shared().model():
                return ask(loaded)

    found: T = live.encoded.get((key, what), made)
    return found


_CHANGED = (
    "The model {} has changed since the bundle was made: what is live here differs from the "
    "tables. Run the pipeline again."
)


def _settings(run: opening.Run, kind: Any, part: str, name: str) -> Any:
    """The settings that the manifest holds of a model or an encoder."""
    found = run.setting(part, name)
    if found is None:
        raise Unavailable(f"the bundle does not say how to load {name}; run the pipeline again")
    return kind.model_validate(found)


def _offline() -> None:
    """No visitor's click downloads a model, unless HF_HUB_OFFLINE=0 allows it."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        os.environ.setdefault(name, "1")
