"""Whether what a run names on the Hugging Face hub can be had: one short try each, all at once."""

import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import LoupeError

SECONDS = 4.0
"""How long the hub may take to answer."""
_SILENT = "silent"


class HubError(LoupeError, RuntimeError):
    """What is named on the hub cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class Name:
    """A repository that a run names.

    Attributes:
        key: where the config names it, first; names are the same whatever their key.
        file: what it surely holds; None where that depends.
        kind: `model` or `dataset`.
    """

    key: str = field(compare=False)
    repo: str
    revision: str | None = None
    file: str | None = "config.json"
    kind: str = "model"

    def __str__(self) -> str:
        at = f" at {self.revision}" if self.revision else ""
        return f"{self.key} {self.repo}{at}"


def faults(names: Sequence[Name]) -> dict[Name, str]:
    """Of the names that cannot be had the line that tells why.

    Where the hub does not answer, cached copies do, and for the rest of the process nothing asks it
    again: libraries would try each file for half a minute.
    """
    wanted = [name for name in dict.fromkeys(names) if not Path(name.repo).expanduser().exists()]
    if not wanted:
        return {}
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return {
            name: f"{name}: not in the hub's cache, and HF_HUB_OFFLINE is set; unset it, or "
            "download the repository and name its folder"
            for name in wanted
            if not _cached(name)
        }
    answers = _ask(wanted)
    found = {name: line for name, line in answers.items() if line}
    silent = [name for name in wanted if name not in answers]
    if silent:
        _stop_asking()
        found |= {
            name: f"{name}: the hub cannot be reached, and it is not in the hub's cache; check the "
            "network, or download it and name its folder"
            for name in silent
            if not _cached(name)
        }
    return found


def refuse(names: Sequence[Name]) -> None:
    """Raises HubError with a line for each name that cannot be had."""
    found = faults(names)
    if found:
        raise HubError("\n".join(found.values()))


def _ask(names: Sequence[Name]) -> dict[Name, str | None]:
    """What the hub says of each: a fault, or None. Those of which it says nothing are left out."""
    answers: dict[Name, str | None] = {}

    def one(name: Name) -> None:
        answer = _answer(name)
        if answer != _SILENT:
            answers[name] = answer

    threads = [threading.Thread(target=one, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    until = time.monotonic() + SECONDS + 0.5
    for thread in threads:  # look-ups of the hub's address have no time limit of their own
        thread.join(max(0, until - time.monotonic()))
    return dict(answers)


def _answer(name: Name) -> str | None:
    """A fault, None, or _SILENT where the hub gives no answer."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        if name.file is None:
            huggingface_hub.HfApi().repo_info(
                name.repo, revision=name.revision, repo_type=name.kind, timeout=SECONDS
            )
        else:
            url = huggingface_hub.hf_hub_url(
                name.repo, name.file, revision=name.revision, repo_type=name.kind
            )
            huggingface_hub.get_hf_file_metadata(url, timeout=SECONDS)
    except errors.GatedRepoError:
        return (
            f"{name}: gated; accept its terms on https://huggingface.co/{name.repo} and set "
            "HF_TOKEN to a token that may read it"
        )
    except errors.RevisionNotFoundError:
        return f"{name}: the repository has no such revision; name a branch, a tag or a commit"
    except errors.RepositoryNotFoundError:
        return (
            f"{name}: the hub has no such {name.kind}, or it is private; check its name, or set "
            "HF_TOKEN to a token that may read it"
        )
    except errors.EntryNotFoundError:
        return None  # the model's own loader knows what else it may hold
    except errors.HFValidationError:
        return f"{name}: is no name on the hub; write OWNER/NAME, or name a folder"
    except Exception:  # whichever library it asks by raises its own: no answer
        return _SILENT
    return None


def _cached(name: Name) -> bool:
    import huggingface_hub

    try:
        if name.file is not None:
            found = huggingface_hub.try_to_load_from_cache(
                name.repo, name.file, revision=name.revision, repo_type=name.kind
            )
            return isinstance(found, str)
        huggingface_hub.snapshot_download(
            name.repo, revision=name.revision, repo_type=name.kind, local_files_only=True
        )
    except (OSError, ValueError):  # the hub's own errors are among these
        return False
    return True


def _stop_asking() -> None:
    """Give the cache's copies from now on, as HF_HUB_OFFLINE does."""
    from huggingface_hub import constants

    os.environ["HF_HUB_OFFLINE"] = "1"  # for libraries that are imported later
    constants.HF_HUB_OFFLINE = True
    datasets = sys.modules.get("datasets.config")
    if datasets is not None:
        datasets.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
