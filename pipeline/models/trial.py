"""One blank picture, prepared and read as a run will do with its own: what would end the run at
its first batch is told before it begins; of a form without weights, as much as it tells."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from PIL import Image
from torch import Tensor

from pipeline.models.adapter import Adapter
from pipeline.models.finite import is_finite
from pipeline.models.inputs import Inputs
from pipeline.models.loading import ModelError, line_of

_FILES = "preprocessor_config.json, processor_config.json, tokenizer_config.json or chat template"
_PICTURE = (64, 48)
UNKNOWN = "a \u2603"
"""Words of which a tokenizer may not know one: its token for such must be there."""


def refuse_unfit(adapter: Adapter, hooks: Sequence[str]) -> None:
    """Raises ModelError where the model's processor makes no inputs of a picture and a prompt, or
    such as do not reach the hook points; one line that names what to mend."""
    name, asked = adapter.settings.id, adapter.settings.prompt
    picture = Image.new("RGB", _PICTURE, "grey")
    with _telling(f"model {name}: its processor makes no inputs of a picture", f"its {_FILES}"):
        asked = adapter.prompt if asked is None else asked
        inputs = adapter.prompted([picture], asked, captions=["a"])
        wrong = _no_numbers(inputs) or _unknown_words(adapter, inputs) or adapter.unfit(inputs)
    if wrong:
        raise ModelError(f"model {name}: {wrong}")
    with _telling(f"model {name}: its tokenizer reads no words", "its tokenizer files"):
        if adapter.reader is not None:
            adapter.read_words([UNKNOWN], longest=8)
    if adapter.device.type != "meta":
        where = "its config.json, or choose another dtype or device"
        with _telling(f"model {name}: does not read what its processor makes", where):
            list(adapter.recorded(inputs, hooks))


@contextmanager
def _telling(what: str, where: str) -> Iterator[None]:
    """Whatever a library makes of what the files say, in one line."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {line_of(error)}"
        raise ModelError(f"{what} ({said}); mend {where}") from error


def _no_numbers(inputs: Inputs) -> str | None:
    if is_finite(inputs.tensors.values()):
        return None
    return (
        "its processor makes numbers of a picture that are not finite; mend image_mean, image_std "
        "and rescale_factor in preprocessor_config.json"
    )


def _unknown_words(adapter: Adapter, inputs: Inputs) -> str | None:
    """What is wrong where the tokenizer knows words that the model has no embedding of."""
    ids = inputs.tensors.get("input_ids")
    rows = embedded_words(adapter.model)
    if ids is None or rows is None:
        return None
    said = ids[ids != getattr(adapter, "image_token", -1)]
    tokenizer: Any = getattr(adapter.reader, "tokenizer", None)
    known = max(int(said.max()) + 1 if len(said) else 0, getattr(tokenizer, "vocab_size", 0))
    if known <= rows:
        return None
    return (
        f"its tokenizer knows {known} words, but its weights embed {rows}; they are of different "
        "models, fetch both again from one place"
    )


def embedded_words(model: Any) -> int | None:
    """How many words a transformers model embeds; None where it reads none."""
    try:
        weight = model.get_input_embeddings().weight
    except (AttributeError, NotImplementedError):
        return None
    return len(weight) if isinstance(weight, Tensor) and weight.ndim == 2 else None
