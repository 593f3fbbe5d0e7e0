"""What was asked of a model and what it said, as JSON that names all it takes to do it again."""

import hashlib
import importlib.metadata
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.interventions.answers import Answer
from pipeline.interventions.setting import Setting

FORM = "loupe-steering/1"


def facts_of(
    manifest: Mapping[str, Any],
    model: str,
    *,
    fingerprint: str | None,
    uri: str,
    pixels: bytes,
    dictionaries: Mapping[str, str | None],
) -> dict[str, Any]:
    """What a record says beside the setting and the answers, alike on the command line and on the
    page.

    Args:
        manifest: the bundle's.
        model: its name there.
        fingerprint: of the model that was asked; None: the one that made the bundle.
        uri, pixels: the image's name and its RGB pixels.
        dictionaries: `dictionary_id` -> fingerprint, of those whose features are edited.
    """
    known = manifest.get("models", {}).get(model, {})
    return {
        "run": manifest.get("name"),
        "model": {**known, "name": model, "fingerprint": fingerprint or known.get("fingerprint")},
        "image": {"uri": uri, "sha256": hashlib.sha256(pixels).hexdigest()},
        "dictionaries": dict(sorted(dictionaries.items())),
        "versions": manifest.get("versions", {}),
    }


def shows_of(encoder: str, cosines: Mapping[str, float]) -> dict[str, Any]:
    """How nearly a text means what features show, by `DICTIONARY:FEATURE`, as a record has it."""
    return {"encoder": encoder, "cosines": dict(cosines)}


def document(records: Sequence[Any], skipped: Mapping[str, str]) -> str:
    """Records as one JSON document, `{"records": [...], "skipped": {image: reason}}`."""
    return json.dumps({"records": records, "skipped": skipped}, ensure_ascii=False, indent=1)


def as_record(setting: Setting, answers: Mapping[str, Answer], **facts: Any) -> dict[str, Any]:
    """One experiment as a JSON object.

    Args:
        answers: by the names of `ways_of`.
        facts: what the setting does not say, of whatever JSON holds: those of `facts_of`; in a
            sweep `shows`, the encoder, and by `DICTIONARY:FEATURE` the cosine of the steered text
            to what the feature's top images show.

    Returns:
        format, Loupe's version, the facts, the setting, and of each answer the text, perplexity,
        whether the model ended it, and its tokens: number, piece, chance, the likeliest in its
        place. A number that is none, as the perplexity of nothing, is null.
    """
    found = {
        "format": FORM,
        "loupe": _version(),
        **facts,
        "setting": setting.model_dump(mode="json"),
        "answers": {name: _answer(answer) for name, answer in answers.items()},
    }
    whole: dict[str, Any] = _finite(found)
    return whole


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "text": answer.text,
        "perplexity": answer.perplexity,
        "ended": answer.ended,
        "tokens": [
            {
                "token": one.token,
                "piece": one.piece,
                "chance": one.chance,
                "likely": [{"piece": piece, "chance": chance} for piece, chance in one.likely],
            }
            for one in answer.said
        ],
    }


def _version() -> str | None:
    try:
        return importlib.metadata.version("loupe")
    except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
        return None


def _finite(value: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
