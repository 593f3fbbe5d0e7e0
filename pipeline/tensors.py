"""Tensors into files: safetensors that those can read whom the umask lets read."""

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, *, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file at `path`, with the mode of any other new file there: the library
    itself lets only the owner read what it writes."""
    path.unlink(missing_ok=True)
    with path.open("wb") as made:
        mode = os.fstat(made.fileno()).st_mode & 0o777
    save_file(dict(tensors), path, metadata=None if metadata is None else dict(metadata))
    path.chmod(mode)
