"""What models, SAEs and files are, by their content."""

import json
import re
from pathlib import Path

from pipeline import config
from pipeline.fingerprints.keys import content_key, fingerprint, fingerprint_files


def weights_identity(model: config.Model) -> str:
    """The files that a model under study consists of.

    Raises:
        ConfigError: a part of it cannot be found.
    """
    parts = [model_identity(model.id, model.revision)]
    if model.vision is not None:
        parts.append(model_identity(model.vision, model.vision_revision))
    if model.projector is not None:
        parts.append(file_identity(model.projector, what="projector"))
    return "+".join(parts)


def file_identity(path: Path, *, what: str) -> str:
    """A file by its content.

    Raises:
        ConfigError: no such file.
    """
    if not path.is_file():
        raise config.ConfigError(f"{what} {path}: no such file")
    return fingerprint_files(path)


def source_identity(source: str, revision: str | None) -> str:
    """A published SAE: local files by their content, anything else by name and revision.

    Raises:
        ConfigError: no such file or folder.
    """
    if source.startswith(("hf:", "sae-lens:")):
        return f"{source}@{revision or 'main'}"
    path = Path(source).expanduser()
    if path.is_dir():
        return fingerprint_files(path)
    identity = file_identity(path, what="SAE")
    from pipeline.saes import formats  # imports torch: only where a file must be asked about

    return content_key(identity, [fingerprint_files(each) for each in formats.beside(path)])


_MODEL_FILES = (
    *("config.json", "config.*.json", "generation_config.json", "open_clip_config.json"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
    *("adapter_config.json", "quantize_config.json", "quant_config.json", "*.index.json"),
    *("tokenizer.json", "tokenizer.*.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "*vocab*.json", "*vocab*.txt", "merges.txt", "*.model", "*.tiktoken"),
    *("chat_template.json", "*.jinja", "additional_chat_templates/*.jinja"),
    *("*.safetensors", "*.bin", "*.pt", "*.pth"),
)
"""What is read of a model's folder: configuration, what words and prompts are made with, weights.
Not what else lies in one: notes, results, other formats."""
_TRAINERS = re.compile(r"(optimizer|scheduler|scaler|rng_state\w*|training_args)\.(pt|pth|bin)")
"""Left beside weights by a training that can go on; nothing here reads them."""


def model_identity(name: str, revision: str | None) -> str:
    """A local folder by its content, a hub model by its id and revision.

    Raises:
        ConfigError: no such folder, and `name` is no hub id (ORGANISATION/NAME) either.
    """
    folder = Path(name)
    if folder.is_dir():
        return fingerprint(_model_files(folder), of=folder)
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise config.ConfigError(
            f"model {name}: no such folder; name a folder that holds config.json, or a hub id"
        )
    return f"{name}@{revision or 'main'}"


def _model_files(folder: Path) -> set[Path]:
    """The files that a model in a folder is read from, those that an index names among them."""
    found = {path for pattern in _MODEL_FILES for path in folder.glob(pattern)}
    for index in folder.glob("*.index.json"):
        try:
            named = json.loads(index.read_bytes())["weight_map"].values()
            names = {name for name in named if isinstance(name, str)}
            found |= {folder / name for name in names if not Path(name).is_absolute()}
        except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
            continue  # told when the model is loaded
    return {path for path in found if path.is_file() and not _TRAINERS.fullmatch(path.name)}
