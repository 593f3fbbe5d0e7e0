"""The published benchmark's three files (Pach et al. 2025, sae-for-vlm, metric_benchmark.tar.gz).

`pairs.csv` names pairs of neurons, which of the two people found more monosemantic, and scores of
both: `k_x,k_y,R_user,MS_x_dino,MS_y_dino,...`; any number of scores `NAME_x_ENCODER`,
`NAME_y_ENCODER`. `top16_images.csv` has the images of each neuron, `k,x_1..x_16`, and
`activations.csv` its activations on all images in order, `k,a_1..a_N`, a row of a megabyte, which
is read and written a neuron at a time.
"""

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from jaxtyping import Float

from pipeline.cells import guarded, plain
from pipeline.metrics.monosemanticity import MonosemanticitySums
from pipeline.study.codings import Coding, preference, told, written
from pipeline.study.draw import StudyError

PAIRS, TOP, ACTIVATIONS = "pairs.csv", "top16_images.csv", "activations.csv"
TOP_IMAGES = 16
_SCORE = re.compile(r"^(?P<name>\w+?)_(?P<side>[xy])(?:_(?P<encoder>[\w.-]+))?$")
_MOST_CELL = 4096


@dataclass(frozen=True, eq=False)
class Pairs:
    """What people preferred, and what scores say.

    Attributes:
        x, y: [n], the neurons.
        preference: [n], the share of people that prefer x: 1 x, 0 y, 0.5 a tie.
        scores: name, as `MS_dino` -> [n, 2], of x and y; NaN where a cell is empty.
        coding: how the preferences were written.
    """

    x: tuple[str, ...]
    y: tuple[str, ...]
    preference: Float[np.ndarray, " n"]
    scores: Mapping[str, Float[np.ndarray, "n 2"]]
    coding: Coding

    def __len__(self) -> int:
        return len(self.x)


def read_pairs(path: Path, *, coding: Coding | None = None) -> Pairs:
    """The file of pairs.

    Args:
        coding: how preferences are written; told by the values where not given.

    Raises:
        StudyError: the file cannot be read, lacks a column, or its preferences can't be told; one
            line that names the file and the line in it.
    """
    found = rows_of(path, "k_x", "k_y", "R_user")
    if not found:
        raise StudyError(f"{path}: no pairs")
    said = [row["R_user"] for row in found]
    coding = coding or told(said, path)
    return Pairs(
        tuple(row["k_x"] for row in found),
        tuple(row["k_y"] for row in found),
        np.array([preference(text, coding, path, line) for line, text in enumerate(said, 2)]),
        {
            name: np.array(
                [
                    [number_of(row[c], path, line) for c in columns]
                    for line, row in enumerate(found, 2)
                ]
            )
            for name, columns in _score_columns(list(found[0])).items()
        },
        coding,
    )


def read_top(path: Path) -> dict[str, tuple[str, ...]]:
    """Neuron -> its images, the strongest first.

    Raises:
        StudyError: the file cannot be read, or a neuron comes twice.
    """
    top: dict[str, tuple[str, ...]] = {}
    with _opened(path) as file:
        rows = csv.reader(file)
        head = next(rows, [])
        if not head or head[0].strip() != "k":
            raise StudyError(f"{path}: its first column is not k")
        for line, row in enumerate(rows, 2):
            if not row:
                continue
            if len(row) != len(head):
                raise StudyError(f"{path}, line {line}: {len(row)} cells, not {len(head)}")
            neuron = _short(row[0], path, line)
            if neuron in top:
                raise StudyError(f"{path}, line {line}: neuron {neuron[:80]!r} comes twice")
            top[neuron] = tuple(plain(_short(cell, path, line)) for cell in row[1:])
    return top


def read_activations(path: Path) -> Iterator[tuple[str, Float[np.ndarray, " n"]]]:
    """Neuron by neuron its activations on all images; one row is held at a time.

    Raises:
        StudyError: the file cannot be read, or a row is of another length or no numbers.
    """
    with _opened(path) as file:
        head = file.readline()
        count = head.count(",")
        if head.split(",", 1)[0].strip() != "k" or not count:
            raise StudyError(f"{path}: its first column is not k")
        for line, row in enumerate(file, 2):
            if not row.strip():
                continue
            name, _, rest = row.partition(",")
            try:
                acts = np.array(rest.split(","), dtype=np.float64)
            except ValueError:
                raise StudyError(f"{path}, line {line}: a cell is no number") from None
            if len(acts) != count:
                raise StudyError(f"{path}, line {line}: {len(acts)} activations, not {count}")
            if not np.isfinite(acts).all():
                raise StudyError(f"{path}, line {line}: an activation is not finite")
            yield name.strip(), acts


def monosemanticity(
    path: Path, embeddings_nd: Float[np.ndarray, "n d"], *, at_once: int = 64
) -> dict[str, float]:
    """Neuron -> its monosemanticity score, from the file of activations; NaN below two images.

    Args:
        embeddings_nd: of unit length, of the images in the file's order.
        at_once: neurons that are held.

    Raises:
        StudyError: as `read_activations`, or another number of images.
    """
    found: dict[str, float] = {}
    held: list[tuple[str, Float[np.ndarray, " n"]]] = []

    def flush() -> None:
        acts_ns = np.stack([acts for _, acts in held], 1)
        sums = MonosemanticitySums.empty(len(held), embeddings_nd.shape[1])
        sums.add(acts_ns, embeddings_nd)
        found.update(zip((name for name, _ in held), sums.score()[0].tolist(), strict=True))
        held.clear()

    for name, acts in read_activations(path):
        if len(acts) != len(embeddings_nd):
            raise StudyError(
                f"{path}: activations on {len(acts):,} images, and embeddings of "
                f"{len(embeddings_nd):,}; give those of the same images, in the same order"
            )
        held.append((name, acts))
        if len(held) == at_once:
            flush()
    if held:
        flush()
    return found


def write_pairs(path: Path, pairs: Pairs) -> None:
    """The file of pairs, preferences in the coding of `pairs`."""
    columns = {
        f"{name.split('_', 1)[0]}_{side}{''.join('_' + part for part in name.split('_', 1)[1:])}": (
            name,
            at,
        )
        for name in pairs.scores
        for at, side in enumerate("xy")
    }
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["k_x", "k_y", "R_user", *columns])
        for n, (x, y, share) in enumerate(zip(pairs.x, pairs.y, pairs.preference, strict=True)):
            scores = [pairs.scores[name][n, at] for name, at in columns.values()]
            cells = ["" if math.isnan(score) else repr(float(score)) for score in scores]
            rows.writerow([guarded(x), guarded(y), written(float(share), pairs.coding), *cells])


def write_top(path: Path, top: Mapping[str, Sequence[str]]) -> None:
    """The file of images; every neuron has as many."""
    count = max(map(len, top.values()), default=TOP_IMAGES)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["k", *(f"x_{i}" for i in range(1, count + 1))])
        rows.writerows(map(guarded, [name, *images]) for name, images in top.items())


def write_activations(
    path: Path, acts: Iterable[tuple[str, Float[np.ndarray, " n"]]], *, images: int
) -> None:
    """The file of activations, a neuron at a time."""
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(["k", *(f"a_{i}" for i in range(1, images + 1))]) + "\n")
        for name, values in acts:
            file.write(",".join([name, *(f"{value:.9g}" for value in values)]) + "\n")


@contextmanager
def _opened(path: Path, opened: TextIO | None = None) -> Iterator[TextIO]:
    """The file, or `opened` in its place; what is wrong with it is told in one line."""
    try:
        with opened or path.open(newline="", encoding="utf-8-sig") as file:
            yield file
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise StudyError(f"{path}: no CSV in UTF-8 ({error})") from None


def rows_of(path: Path, *wanted: str, opened: TextIO | None = None) -> list[dict[str, str]]:
    """The rows of a CSV that has these columns.

    Args:
        opened: read in place of the file, which then only gives its name.

    Raises:
        StudyError: it cannot be read, lacks a column, or a row has another number of cells.
    """
    with _opened(path, opened) as file:
        rows = csv.DictReader(file)
        names = [name.strip() for name in rows.fieldnames or ()]
        rows.fieldnames = names
        for name in wanted:
            if name not in names:
                raise StudyError(f"{path}: no column {name}; it has {', '.join(names)[:200]}")
        found = []
        for line, row in enumerate(rows, 2):
            if None in row or None in row.values():
                raise StudyError(f"{path}, line {line}: not as many cells as the first line")
            found.append({name: _short(cell, path, line) for name, cell in row.items()})
        return found


def _short(cell: str, path: Path, line: int) -> str:
    if len(cell) > _MOST_CELL or "\0" in cell:
        raise StudyError(f"{path}, line {line}: a cell is too long or no text")
    return cell.strip()


def _score_columns(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Score -> its columns for x and for y, where there are both."""
    found: dict[str, dict[str, str]] = {}
    for column in names:
        match = _SCORE.match(column)
        if match and match["name"] != "k":
            score = "_".join(filter(None, (match["name"], match["encoder"])))
            found.setdefault(score, {})[match["side"]] = column
    return {name: (at["x"], at["y"]) for name, at in found.items() if len(at) == 2}


def number_of(text: str, path: Path, line: int) -> float:
    """A cell's number; NaN of an empty one.

    Raises:
        StudyError: it is none.
    """
    if not text:
        return math.nan
    try:
        return float(text)
    except ValueError:
        raise StudyError(f"{path}, line {line}: the score {text[:80]!r} is no number") from None
