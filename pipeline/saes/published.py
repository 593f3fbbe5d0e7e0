"""SAEs as others publish them: local files, Hugging Face repositories, sae-lens's releases."""

import glob
from pathlib import Path

from pipeline.saes import foreign, formats, sae_lens, tensor_files
from pipeline.saes.sae import SAE
from pipeline.saes.weights import SAEError, one_line

_HUB, _RELEASE = "hf:", "sae-lens:"
_WEIGHTS = (".pt", ".pth", ".pkl", ".bin", ".safetensors", ".npz", ".gz", ".ckpt")


def load(source: str, *, revision: str | None = None) -> SAE:
    """The SAE that `source` names, on the CPU in float32.

    Args:
        source: a local file or folder; `hf:OWNER/REPO/PATH/IN/REPO`, a file or folder of a hub
            repository, of which only the SAE's own files are downloaded; or
            `sae-lens:RELEASE/SAE_ID` (the id may hold slashes).
        revision: branch, tag or commit of the hub repository.

    Raises:
        SAEError: nothing there, not reachable, no known format, damaged, or not run exactly.
    """
    if source.startswith(_RELEASE) and revision is None:
        return _released(source)
    return _open(_place(source, revision), source)


def trained_at(source: str, *, revision: str | None = None) -> str:
    """Where the SAE's own files say that it was trained, in their words; empty where they do not.

    Raises:
        SAEError: as `load`, where its files are not there or cannot be read.
    """
    if source.startswith(_RELEASE):
        return ""  # their names say so themselves
    path = _place(source, revision)
    return next((one.trained_at(path) for one in formats.every() if one.matches(path)), "")


def _place(source: str, revision: str | None) -> Path:
    """Where the SAE's files lie, fetched from the hub if need be."""
    if source.startswith(_HUB):
        return _download(source, *_hub_place(source), revision)
    if revision is not None:
        raise SAEError(f"{source}: only {_HUB} sources have revisions; leave {revision!r} out")
    path = Path(source).expanduser()
    if not path.exists():
        told = foreign.missing(path) or (
            f"no such file or folder; give one, {_HUB}OWNER/REPO/PATH, or {_RELEASE}RELEASE/SAE_ID"
        )
        raise SAEError(f"{source}: {told}")
    return path


def _open(path: Path, source: str) -> SAE:
    """The SAE in a local file or folder."""
    for one in formats.every():
        if one.matches(path):
            return one.load(path)
    told = _of_folder(path) if path.is_dir() else _of_file(path)
    if told:
        raise SAEError(f"{source}: {told}")
    holds = f"it holds {foreign.listing(path)}" if path.is_dir() else "its name tells none"
    known = "; ".join(one.name for one in formats.every())
    raise SAEError(f"{source}: no SAE in a known format, {holds}; looked for {known}")


def _of_folder(path: Path) -> str | None:
    """What a folder holds in place of an SAE and what to do, where its content tells."""
    told = foreign.folder(path)
    if told:
        return told
    for name in formats.files():
        told = foreign.missing(path / name)
        if told:
            return f"its {name} {told}"
    for file in sorted(path.iterdir()):
        if file.suffix in _WEIGHTS and (told := _of_file(file)):
            return f"its {foreign.short(file.name)} {told}"
    return None


def _of_file(path: Path) -> str | None:
    """What a file is in place of an SAE and what to do, where its content tells."""
    told = foreign.what(path)
    if told:
        return told
    try:
        return foreign.layout(tensor_files.names(path))
    except SAEError as error:
        return str(error).removeprefix(f"{path}: ")


def _hub_place(source: str) -> tuple[str, str]:
    """The repository and the path in it; the path is empty for its root."""
    parts = source.removeprefix(_HUB).strip("/").split("/")
    if len(parts) < 2 or not all(parts) or {".", ".."} & set(parts):
        raise SAEError(f"{source}: names no place on the hub; write {_HUB}OWNER/REPO/PATH/IN/REPO")
    return "/".join(parts[:2]), "/".join(parts[2:])


def _download(source: str, repo: str, path: str, revision: str | None) -> Path:
    """Where the SAE's files lie in the hub's cache, fetched if need be."""
    import huggingface_hub  # hundreds of milliseconds

    folder, _, name = path.rpartition("/")
    alone = [one for one in formats.every() if name.endswith(one.suffixes)]
    if alone:  # of a folder of checkpoints only this one
        wanted = [path, *(f"{folder}/{each}" for one in alone for each in one.beside)]
    else:
        folder = folder if name in (sae_lens.CONFIG, sae_lens.WEIGHTS) else path
        wanted = [f"{folder}/{file}" for file in formats.files()]
    try:
        root = huggingface_hub.snapshot_download(
            repo,
            revision=revision,
            allow_patterns=[glob.escape(file.lstrip("/")) for file in wanted],
        )
    except (OSError, ValueError) as error:  # the hub's own errors are among these
        raise SAEError(
            f"{source}: cannot be fetched ({one_line(error)}); check its name, the revision and "
            "the connection"
        ) from None
    found = Path(root, path)
    if not found.exists():
        raise SAEError(
            f"{source}: {repo} has no {path!r} with any of {', '.join(formats.files())}; "
            "check the path"
        )
    return found


def _released(source: str) -> SAE:
    """An SAE of sae-lens's registry, through its loaders."""
    release, _, sae_id = source.removeprefix(_RELEASE).partition("/")
    if not release or not sae_id:
        raise SAEError(f"{source}: names no release; write {_RELEASE}RELEASE/SAE_ID")
    from sae_lens import SAE as Lens  # noqa: N811, it has the same name; seconds and a gigabyte
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory

    entry = get_pretrained_saes_directory().get(release)
    if entry is None:
        raise SAEError(
            f"{source}: sae-lens knows no release {release!r}; "
            f"for a repository write {_HUB}OWNER/REPO/PATH"
        )
    if entry.conversion_func == "dictionary_learning_1" and sae_id in entry.saes_map:
        # That loader drops the threshold of some classes and fails on configs with blanks.
        folder = entry.saes_map[sae_id]
        return _open(_download(source, entry.repo_id, folder, None), source)
    try:
        lens = Lens.from_pretrained(release, sae_id, device="cpu", dtype="float32")
    except Exception as error:  # each of its loaders raises what it likes
        raise SAEError(
            f"{source}: sae-lens does not open it ({one_line(error)}); check the id and the "
            "connection"
        ) from None
    settings = lens.cfg.to_dict()
    # What from_pretrained returns is of version 6, whatever its files were.
    settings["sae_lens_version"] = "6.0.0"
    return SAE(**sae_lens.arguments(source, settings, dict(lens.state_dict())))
