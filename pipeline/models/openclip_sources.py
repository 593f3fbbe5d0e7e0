"""Where an open_clip model comes from, and with which activation its weights were trained.

open_clip itself only warns where an architecture runs weights with another activation than theirs.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
from open_clip.transform import merge_preprocess_dict

from pipeline.models import files, hub
from pipeline.models.loading import ModelError

HUB = "hf-hub:"
_CONFIG = "open_clip_config.json"


@dataclass(frozen=True)
class Source:
    """What open_clip makes a model from.

    Attributes:
        architecture, weights: as it names them; weights None where the first names both.
        form: what it makes the model's form from without fetching weights.
        preprocess: what is done to pictures, where it comes with the weights' name.
        address: where the weights are fetched from, where that is not the hub.
    """

    architecture: str
    weights: str | None
    form: str
    preprocess: dict[str, Any] = field(default_factory=dict)
    address: str | None = None

    @property
    def at_hand(self) -> bool:
        """Whether its weights are here, or there is an answer from where they are fetched."""
        if self.address is None:
            return True
        kept = Path("~/.cache/clip").expanduser() / self.address.rpartition("/")[2]
        return kept.is_file() or hub.answers(self.address)


def find(name: str) -> Source:
    """The source that `name` means: ARCHITECTURE/PRETRAINED, hf-hub:OWNER/NAME, or a folder.

    Raises:
        ModelError: there are no such weights, or they want another activation.
    """
    if Path(name).is_dir():
        local = f"local-dir:{name}"
        _refuse_other_activation(name, Path(name))
        return Source(local, None, local)
    if name.startswith(HUB):
        found = huggingface_hub.hf_hub_download(name.removeprefix(HUB), _CONFIG)
        _refuse_other_activation(name, Path(found).parent)
        return Source(name, None, f"local-dir:{Path(found).parent}")
    architecture, _, weights = name.partition("/")
    if weights not in open_clip.list_pretrained_tags_by_model(architecture):
        raise ModelError(
            f"model {name}: open_clip has no such weights; name ARCHITECTURE/PRETRAINED as "
            "open_clip.list_pretrained() gives them, hf-hub:OWNER/NAME, or a folder"
        )
    known = open_clip.get_pretrained_cfg(architecture, weights)
    built = open_clip.get_model_config(architecture) or {}
    # The other way round (roberta-ViT-B-32) the list is silent, and the architecture is as trained.
    if known.get("quick_gelu") and not built.get("quick_gelu"):
        raise ModelError(
            f"model {name}: its weights were trained with QuickGELU, which the architecture "
            f"{architecture} does not use; name {architecture}-quickgelu/{weights}"
        )
    preprocess = merge_preprocess_dict({}, known)
    address = None if known.get("hf_hub") else known.get("url")
    return Source(architecture, weights, architecture, preprocess, address)


def _refuse_other_activation(name: str, folder: Path) -> None:
    """Raises ModelError where anything beside open_clip's own config tells of another activation:
    transformers' or timm's config of the same weights, the name of their file, or open_clip's list
    of what it knows on the hub."""
    if wrong := files.broken(str(folder)) or files.two_scales(str(folder)):
        raise ModelError(f"model {name}: {wrong}")
    described = files.described(folder / _CONFIG).get("model_cfg")
    if not isinstance(described, dict):
        raise ModelError(
            f"model {name}: its {_CONFIG} is missing or lacks model_cfg; fetch it again"
        )
    quick = bool(described.get("quick_gelu", False))
    for said, where in _told(name, folder):
        if said != quick:
            kind, own = ("QuickGELU", "GELU") if said else ("GELU", "QuickGELU")
            raise ModelError(
                f"model {name}: {where} tells of weights trained with {kind}, but its {_CONFIG} of "
                f"{own}; set model_cfg.quick_gelu to {str(said).lower()} there, or mend {where}"
            )


def _told(name: str, folder: Path) -> list[tuple[bool, str]]:
    """Whether the weights want QuickGELU, with where that is said."""
    found: list[tuple[bool, str]] = []
    beside = files.described(folder / "config.json")
    vision = beside.get("vision_config")
    act = vision.get("hidden_act") if isinstance(vision, dict) else None
    if act in ("gelu", "quick_gelu"):
        found.append((act == "quick_gelu", "config.json"))
    if "quickgelu" in str(beside.get("architecture")):
        found.append((True, "config.json"))
    found += [(True, file.name) for file in files.weights(str(folder)) if "quickgelu" in file.name]
    known = [open_clip.get_pretrained_cfg(*pair) for pair in open_clip.list_pretrained()]
    at = [
        tag for tag in known if tag.get("hf_hub", "").rpartition("/")[0] == name.removeprefix(HUB)
    ]
    if any(tag.get("quick_gelu") for tag in at):
        found.append((True, "open_clip.list_pretrained()"))
    return found
