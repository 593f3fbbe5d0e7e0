"""The published benchmark's archive, `metric_benchmark.tar.gz`, and what is read of it."""

import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from pipeline.study.benchmark import ACTIVATIONS, PAIRS, TOP
from pipeline.study.draw import StudyError

MOST = {PAIRS: 64 * 2**20, TOP: 256 * 2**20, ACTIVATIONS: 16 * 2**30}
"""File -> bytes of it at most."""
SUFFIXES = (".tar.gz", ".tgz", ".tar")
_MEMBERS = 10_000


@contextmanager
def opened(path: Path, *names: str) -> Iterator[Path]:
    """A folder with these files of the benchmark: `path` itself, or for the time an archive's.

    Of an archive only plain files of these names are read, wherever in it they lie, and each once;
    no name of it becomes a path. What is raised within names the archive.

    Raises:
        StudyError: it is neither, lacks a file, or a file is too large or there twice.
    """
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="loupe-benchmark-") as place:
        folder = Path(place)
        try:
            with tarfile.open(path, "r|*") as archive:
                _unpack(archive, path, folder, names)
        except OSError as error:
            raise StudyError(f"{path}: cannot be read ({error.strerror or error})") from None
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise StudyError(
                f"{path}: neither a folder nor a whole .tar.gz ({str(error)[:100]})"
            ) from None
        for name in names:
            if not (folder / name).exists():
                raise StudyError(f"{path}: holds no {name}")
        try:
            yield folder
        except StudyError as error:
            raise StudyError(str(error).replace(f"{folder}/", f"{path}: ")) from None


def _unpack(archive: tarfile.TarFile, path: Path, folder: Path, names: Collection[str]) -> None:
    for number, member in enumerate(archive):
        if number >= _MEMBERS:
            raise StudyError(f"{path}: more than {_MEMBERS:,} files; pack the benchmark's alone")
        name = PurePosixPath(member.name).name
        if name not in names or not member.isreg():
            continue
        if member.size > MOST[name]:
            raise StudyError(f"{path}: its {name} is larger than {MOST[name] >> 20:,} MiB")
        if (folder / name).exists():
            raise StudyError(f"{path}: holds {name} twice; pack it once")
        held = archive.extractfile(member)
        assert held is not None  # of a plain file
        with held, (folder / name).open("xb") as file:
            shutil.copyfileobj(held, file, 2**20)
