"""Tensors out of files that strangers made: nothing in them runs, and none becomes much more memory
than it is on the disk. What a file declares is looked at before anything of it is read."""

import json
import math
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from pipeline.saes import foreign
from pipeline.saes.weights import SAEError, one_line

Tensors = dict[str, Tensor]
Declared = tuple[Tensors, Callable[[], Tensors]]
"""Names, shapes and types as tensors on `meta`, and what reads them."""

_FOLD, _FREE = 16, 2**24
"""Tensors may be so many times their file, whatever the file; floats pack hardly to a half."""
_HEADER = 2**24
_MOST = 256
"""Tensors in a file; SAEs have about five."""
_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""How files begin that torch wrote before 1.6."""
_FLOATS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "<f8": torch.float64, "<f4": torch.float32, "<f2": torch.float16,
    ">f8": torch.float64, ">f4": torch.float32, ">f2": torch.float16,
}  # fmt: skip


def from_safetensors(file: Path) -> Declared:
    """What a safetensors file holds. Raises SAEError where it is anything else, or damaged."""
    _refuse_foreign(file)
    _refuse_bad_header(file)
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            declared = {
                name: _like(one.get_shape(), one.get_dtype()) for name, one in slices.items()
            }
    except Exception as error:  # a damaged header fails in as many ways as it has parts
        raise _damaged(file, error) from None

    def read() -> Tensors:
        with safe_open(file, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in declared}

    return declared, read


def from_npz(file: Path) -> Declared:
    """What an npz file of plain arrays holds. Raises SAEError where it is anything else, or
    damaged."""
    _refuse_foreign(file)
    if not foreign.is_npz(file):
        raise SAEError(f"{file}: is no archive of numpy's; {foreign.AGAIN}, or name it as it is")
    try:
        with zipfile.ZipFile(file) as archive:
            _refuse_swollen(file, sum(member.file_size for member in archive.infolist()))
            _refuse_many(file, len(archive.infolist()))
            declared = {
                member.filename.removesuffix(".npy"): _array(file, archive, member)
                for member in archive.infolist()
            }
    except SAEError:
        raise
    except Exception as error:  # a damaged archive fails in as many ways as it has parts
        raise _damaged(file, error) from None

    def read() -> Tensors:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return {name: _native(arrays[name]) for name in declared}
        except Exception as error:
            raise _damaged(file, error) from None

    return declared, read


def from_torch(file: Path, *, whole: bool = True) -> Tensors:
    """The tensors of a state_dict that torch.save wrote, mapped from the file where it can be.

    Args:
        whole: whether to read all of it, to see that its bytes are those that were saved.

    Raises:
        SAEError: it is anything else, damaged, or needs more than tensors.
    """
    _refuse_foreign(file)
    with file.open("rb") as opened:
        head = opened.read(len(_LEGACY))
    zipped = head[:2] == b"PK"
    if zipped and foreign.is_npz(file):
        raise SAEError(
            f"{file}: is numpy's archive of arrays, no file of torch; name Gemma Scope's params.npz"
        )
    if zipped:
        _refuse_bad_archive(file, whole=whole)
    elif head != _LEGACY:
        raise SAEError(f"{file}: {_no_torch(head)}; save the SAE's state_dict() with torch.save")
    try:
        # Mapped storages have the bounds of the file; others those that its pickle states.
        state = torch.load(file, weights_only=True, map_location="cpu", mmap=zipped)
    except Exception as error:  # a damaged file fails in as many ways as it has parts
        # torch's own message advises to load it with weights_only=False.
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named:
            raise SAEError(
                f"{file}: needs code to be run ({foreign.short(named[1])}), which Loupe never "
                "does; save the SAE's state_dict() with torch.save"
            ) from None
        raise SAEError(f"{file}: damaged, its tensors cannot be read; {foreign.AGAIN}") from None
    return _plain(file, state)


def names(file: Path) -> list[str]:
    """What the tensors in a file of any of these kinds are called; reads none of them.

    Raises:
        SAEError: it is of no such kind, or damaged.
    """
    with file.open("rb") as opened:
        head = opened.read(9)
    if head[8:] == b"{":
        return list(from_safetensors(file)[0])
    if head[:2] == b"PK" and foreign.is_npz(file):
        return list(from_npz(file)[0])
    return list(from_torch(file, whole=False))


def _plain(file: Path, state: Any) -> Tensors:
    """`state` where it is a dict of plain tensors on the CPU."""
    if isinstance(state, dict) and not _all_tensors(state):
        told = foreign.layout(name for name in state if isinstance(name, str))
        if told:
            raise SAEError(f"{file}: {told}")
    if not (isinstance(state, dict) and _all_tensors(state)):
        raise SAEError(
            f"{file}: holds no plain state_dict; save the SAE's state_dict() with torch.save"
        )
    _refuse_many(file, len(state))
    _refuse_swollen(file, sum(each.numel() * each.element_size() for each in state.values()))
    return dict(state)


def _all_tensors(state: dict[Any, Any]) -> bool:
    return all(
        isinstance(name, str)
        and type(each) in (Tensor, torch.nn.Parameter)
        and each.layout == torch.strided
        and each.device.type == "cpu"
        and not each.is_quantized
        for name, each in state.items()
    )


def _refuse_foreign(file: Path) -> None:
    told = foreign.what(file)
    if told:
        raise SAEError(f"{file}: {told}")


def _refuse_swollen(file: Path, declared: int) -> None:
    size = file.stat().st_size
    if declared > max(_FREE, _FOLD * size):
        raise SAEError(
            f"{file}: {size:,} bytes that would become {declared:,}, which no weights do; "
            "it is damaged or made to harm"
        )


def _refuse_many(file: Path, count: int) -> None:
    if count > _MOST:
        raise SAEError(f"{file}: holds {count:,} tensors, no SAE; name the SAE's own file")


def _refuse_bad_header(file: Path) -> None:
    """Where a safetensors file is none, is cut, or begins with more than a header."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        head = opened.read(9)
        length = int.from_bytes(head[:8], "little")
        if head[:2] in (b"PK", b"\x80\x02"):
            raise SAEError(f"{file}: is a file of torch or numpy, no safetensors; name it as such")
        if head[8:] != b"{" or length > size - 8:
            raise SAEError(f"{file}: is no safetensors file, or cut or damaged; {foreign.AGAIN}")
        if length > _HEADER:
            raise SAEError(f"{file}: begins with a header of {length:,} bytes, which no SAE has")
        text = opened.read(length - 1)
    try:
        header = json.loads(b"{" + text)
        _refuse_many(file, len(header))
        ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0)
    except SAEError:
        raise
    except Exception as error:  # any JSON may stand there
        raise _damaged(file, error) from None
    if isinstance(whole, int) and whole > size:
        raise SAEError(
            f"{file}: holds {size:,} of the {whole:,} bytes that its header tells of, as a "
            f"download leaves it that was cut; {foreign.AGAIN}"
        )


def _refuse_bad_archive(file: Path, *, whole: bool) -> None:
    """Where torch's zip would not give the tensors that were put in: it checks no checksums, and
    maps compressed bytes as they stand."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise SAEError(
                    f"{file}: is packed, which torch.save does not do; unpack it and save its "
                    f"tensors again, or {foreign.AGAIN}"
                )
            _refuse_swollen(file, sum(member.file_size for member in members))
            bad = archive.testzip() if whole else None
    except SAEError:
        raise
    except Exception as error:  # a damaged archive fails in as many ways as it has parts
        raise _damaged(file, error) from None
    if bad is not None:
        raise SAEError(
            f"{file}: damaged, {foreign.short(bad)} has another checksum than when it was saved; "
            f"{foreign.AGAIN}"
        )


def _array(file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Tensor:
    """What a member of an npz declares, on `meta`."""
    formats = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    name = foreign.short(member.filename)
    with archive.open(member) as opened:
        shape, _, dtype = formats[np.lib.format.read_magic(opened)](opened)
        begin = opened.tell()
    if dtype.str not in _FLOATS:
        raise SAEError(
            f"{file}: {name} holds {foreign.short(dtype)}, not floats; save it as float32"
        )
    if begin + math.prod(shape) * dtype.itemsize != member.file_size:
        raise SAEError(f"{file}: {name} is not as long as its shape {shape} wants; {foreign.AGAIN}")
    return _like(shape, dtype.str)


def _like(shape: Any, dtype: str) -> Tensor:
    """A tensor on `meta`; of what is no float, of integers."""
    return torch.empty(tuple(shape), dtype=_FLOATS.get(dtype, torch.int8), device="meta")


def _native(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")))


def _no_torch(head: bytes) -> str:
    if head[8:9] == b"{":
        return "is a safetensors file, no file of torch"
    if head[:1] == b"\x80":
        return "is a pickle that torch.save did not write, which could run code"
    return "is no file of torch"


def _damaged(file: Path, error: Exception) -> SAEError:
    return SAEError(f"{file}: damaged ({foreign.short(one_line(error))}); {foreign.AGAIN}")
