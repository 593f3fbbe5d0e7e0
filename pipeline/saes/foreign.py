"""What a file is that lies where an SAE should: told by its content, not by its name."""

import codecs
import json
import re
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path

AGAIN = "fetch it again"
CONVERT = (
    "which Loupe does not open; save its weights as a sae-lens folder (cfg.json, "
    "sae_weights.safetensors)"
)
_HEAD = 4096
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!": "RAR",
    b"\x04\x22\x4d\x18": "lz4",
}
_OTHERS = {
    b"\x93NUMPY": "one array of numpy (.npy)",
    b"\x89HDF": "an HDF5 file",
    b"GGUF": "a GGUF file",
    b"PAR1": "a Parquet table",
    b"ARROW1": "an Arrow file",
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"GIF8": "a picture (GIF)",
    b"%PDF": "a PDF",
    b"\x7fELF": "a program",
    b"SQLite format 3": "an SQLite database",
}
_UNFINISHED = (
    *(".part", ".partial", ".incomplete", ".crdownload", ".download", ".opdownload"),
    *(".aria2", ".tmp", ".filepart", ".!ut"),
)
_MODEL = re.compile(r"(^|\.)(layers?|blocks|h|resblocks)\.\d+\.|embed_tokens|(^|\.)wte\.|lm_head")


def what(file: Path) -> str | None:
    """What `file` is and what to do, to follow its name; None for what may hold tensors as such:
    torch's and numpy's archives, pickles and safetensors.

    Only its head and a zip's directory are read. Never raises.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return "is no file; name the file that holds the weights"
        size = file.stat().st_size
        with file.open("rb") as opened:
            head = opened.read(_HEAD)
    except OSError as error:
        return f"cannot be read ({error.strerror}); mend its rights, or {AGAIN}"
    if size == 0:
        return f"is empty, as a download leaves it that was stopped; {AGAIN}"
    if pointer := _pointer(head):
        return pointer
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        return _zip(file)
    if not head.strip(b"\0"):
        return f"begins with nothing but zeros, as a download that was stopped; {AGAIN}"
    for begin, name in _PACKED.items():
        if head.startswith(begin):
            return f"is packed with {name}; unpack it first"
    if head[257:262] == b"ustar":
        return "is a tar archive; unpack it first"
    for begin, name in _OTHERS.items():
        if head.startswith(begin):
            return f"is {name}, no SAE; {AGAIN}, or name the file that holds the weights"
    if head[:1] == b"{" and _line_before_torch(file):
        return f"is in saev's format (a line of JSON before the weights), {CONVERT}"
    return _text(head, whole=size <= _HEAD)


def missing(file: Path) -> str | None:
    """Why `file` is not there, where what lies in its place or beside it tells; else None."""
    if file.is_symlink():
        try:
            to = str(file.readlink())
        except OSError:
            return None
        if ".git/annex/" in to:
            return "is a git-annex link without its content; run git annex get"
        return f"is a link to {to}, which is not there; {AGAIN}"
    left = [file.with_name(file.name + end) for end in _UNFINISHED]
    for one in left:
        if one.is_file():
            return f"is not there, but {one.name} is, a download that was not finished; {AGAIN}"
    return None


GATED = frozenset({"gate_bias", "b_gate", "r_mag"})
"""Tensors that only gated SAEs have."""


def layout(names: Iterable[str]) -> str | None:
    """Whose SAE these names of tensors belong to, and what to do; None where they tell nothing."""
    found = {name.removeprefix("module.") for name in names}
    if found >= {"fc1.weight", "fc2.weight"}:
        return f"holds a Line of Sight SAE (fc1, fc2), {CONVERT}"
    if "W_skip" in found:
        return f"holds a transcoder (W_skip), {CONVERT}"
    if found >= {"encoder.weight", "W_dec"}:
        return f"holds an EleutherAI SAE (encoder, W_dec), {CONVERT}"
    if found & GATED:
        return "holds a gated SAE, which Loupe does not run; use one of another architecture"
    if found & {"pre_bias", "latent_bias"}:
        return (
            f"holds an SAE in OpenAI's names, as MSAE has them (pre_bias, latent_bias), {CONVERT}"
        )
    if "topk_threshold" in found:
        return (
            "holds an SAE in training (topk_threshold); write it with sae-lens's "
            "save_inference_model"
        )
    if "activation.threshold" in found:
        return f"holds saev's tensors (activation.threshold), {CONVERT}"
    if "state_dict" in found:
        return (
            "holds a state_dict among other things, as Prisma's and patchsae's checkpoints, "
            f"{CONVERT}"
        )
    if found >= {"encoder.weight", "decoder.weight", "decoder.bias"}:
        return f"holds a plain autoencoder with a decoder.bias, {CONVERT}"
    if any(_MODEL.search(name) for name in found):
        return f"holds the weights of a model ({len(found)} tensors), no SAE; name the SAE's file"
    return None


def folder(path: Path) -> str | None:
    """What a folder is in place of an SAE's and what to do; None where its names tell nothing."""
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        return f"cannot be read ({error.strerror}); mend its rights"
    if not names:
        return f"is an empty folder; {AGAIN}"
    for name in names:
        if name.endswith(_UNFINISHED):
            return f"holds {short(name)}, a download that was not finished; {AGAIN}"
    if "sae.safetensors" in names:
        return f"holds an EleutherAI SAE (sae.safetensors), {CONVERT}"
    return None


def listing(path: Path) -> str:
    """Some of a folder's names."""
    names = sorted(entry.name for entry in path.iterdir())
    return ", ".join(map(short, names[:5])) + (", ..." if len(names) > 5 else "")


def short(text: object) -> str:
    """A text from elsewhere, on one line and not longer than some words."""
    line = " ".join(str(text).split())
    line = "".join(letter for letter in line if letter.isprintable())
    return line if len(line) <= 80 else f"{line[:77]}..."


def is_npz(file: Path) -> bool:
    """Whether a file is an archive of numpy's arrays."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except Exception:  # a damaged archive fails in as many ways as it has parts
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def _pointer(head: bytes) -> str | None:
    if head.startswith((b"version https://git-lfs", b"version https://hawser")):
        return "is a Git LFS pointer to the weights; run git lfs pull"
    if head.startswith(b"# xet version"):
        return "is a Xet pointer to the weights; fetch it with huggingface_hub"
    if head.lstrip(b"/").startswith((b"annex/objects/", b".git/annex/objects/")):
        return "is a git-annex pointer to the weights; run git annex get"
    if re.match(rb"outs:\s*\n\s*- ", head):
        return "is a DVC pointer to the weights; run dvc pull"
    return None


def _zip(file: Path) -> str | None:
    """Of a zip what it is; None for torch's and numpy's."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except Exception:  # a damaged archive fails in as many ways as it has parts
        return f"is a zip archive without its end, as a download leaves it that was cut; {AGAIN}"
    if any(name.endswith("/constants.pkl") for name in names):
        return f"is a TorchScript program, {CONVERT}"
    if any(name.rpartition("/")[2] == "data.pkl" for name in names):
        return None
    if is_npz(file):
        return None
    if not names:
        return f"is an empty zip archive; {AGAIN}"
    return f"is a zip archive ({short(names[0])}, ...); unpack it first"


def _line_before_torch(file: Path) -> bool:
    """Whether the file is a line of JSON with torch's zip or pickle behind it."""
    with file.open("rb") as opened:
        line = opened.readline(2**20)
        return line.endswith(b"\n") and opened.read(2) in (b"PK", b"\x80\x02")


def _text(head: bytes, *, whole: bool) -> str | None:
    """Of a text what it says; None for anything else."""
    kind = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:  # a letter may be cut at the end of the head
        text = codecs.getincrementaldecoder(kind)().decode(head, final=whole)
    except UnicodeDecodeError:
        return None
    if "\0" in text or sum(not c.isprintable() and not c.isspace() for c in text) > len(text) / 50:
        return None
    if re.match(r"\s*<(!doctype html|html|head|body)", text, re.IGNORECASE):
        said = _between(r"<title[^>]*>(.*?)</title>", text)
        return f"is a web page{said}, as a server answers in a file's place; {AGAIN}"
    if re.match(r"\s*<\?xml|\s*<Error>", text):
        said = _between(r"<(?:Message|Code)>(.*?)</", text)
        return f"is an XML text{said}, as a server answers in a file's place; {AGAIN}"
    if text.lstrip().startswith(("{", "[")):
        error = _error_in(text) if whole else None
        if error:
            return f"is a server's answer ({error}), not the weights; {AGAIN}"
        return f"is a JSON text, not the weights; {AGAIN}, or name the file that holds them"
    return f"is a text ({short(text[:200])}), not the weights; {AGAIN}"


def _between(pattern: str, text: str) -> str:
    """What the pattern finds, in brackets."""
    found = re.search(pattern, text, re.IGNORECASE | re.DOTALL)
    return f" ({short(found[1])})" if found and found[1].strip() else ""


def _error_in(text: str) -> str | None:
    """What an error in JSON says."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    said = None
    if isinstance(found, dict):
        keys = ("error", "message", "detail", "errors")
        said = next((found[key] for key in keys if found.get(key)), None)
    return None if said is None else short(said)
