"""Embeddings that somebody brings."""

from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from pipeline.study.draw import StudyError

_NONE = (
    *(OSError, ValueError, EOFError, KeyError, TypeError, SyntaxError, TokenError),
    *(MemoryError, OverflowError, RecursionError),
)
"""What NumPy raises of a file that is no .npy: the head of one is a line of Python."""


def read_embeddings(path: Path) -> NDArray[np.float64]:
    """[n, d], of unit length, from a .npy or a .safetensors of one matrix; nothing is unpickled.

    Raises:
        StudyError: the file cannot be read, holds no matrix of numbers, or a row has no length.
    """
    try:
        if path.suffix == ".safetensors":
            held = load_file(path)
            if len(held) != 1:
                raise StudyError(f"{path}: holds {len(held)} tensors; give one matrix, [images, d]")
            (found,) = held.values()
        else:
            found = np.load(path, allow_pickle=False)
    except (*_NONE, SafetensorError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise StudyError(f"{path}: no .npy or .safetensors of a matrix ({said})") from None
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "fiu":
        raise StudyError(f"{path}: no matrix of numbers; give one, [images, d]")
    with np.errstate(all="ignore"):  # what is not finite is refused below
        vectors = found.astype(np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(length) & (length > 0)))
    if len(bad):
        raise StudyError(f"{path}: row {bad[0]:,} has no length, or is not finite; mend it")
    return np.asarray(vectors / length)
