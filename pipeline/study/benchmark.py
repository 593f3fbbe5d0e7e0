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
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipeline.csv_cells import guarded, plain
from pipeline.metrics.monosemanticity import MonosemanticitySums
from pipeline.study.codings import Coding, detect, preference, written
from pipeline.study.draw import StudyError
from pipeline.study.sheets import number_of, numbered, reading, rows_of, short

PAIRS, TOP, ACTIVATIONS = "pairs.csv", "top16_images.csv", "activations.csv"
TOP_IMAGES = 16
_SCORE = re.compile(r"^(?P<name>\w+?)_(?P<side>[xy])(?:_(?P<encoder>[\w.-]+))?$")


@dataclass(frozen=True, eq=False)
class Pairs:
    """What people preferred, and what scores say.

    Attributes:
        x, y: [n], the neurons.
        preference: [n], the share of people that prefer x: 1 x, 0 y, 0.5 a tie.
        scores: name, as `MS_dino` -> [n, 2], of x and y; NaN where no row has it.
        coding: how the preferences were written.
        rows: of the file; more than pairs where several are about one pair.
    """

    x: tuple[str, ...]
    y: tuple[str, ...]
    preference: Float[np.ndarray, " n"]
    scores: Mapping[str, Float[np.ndarray, "n 2"]]
    coding: Coding
    rows: int = 0

    def __len__(self) -> int:
        return len(self.x)


def read_pairs(path: Path, *, coding: Coding | None = None) -> Pairs:
    """The file of pairs.

    Rows about one pair, whichever is x, are one pair with the mean of what they say: so a file with
    a row a person reads as one of shares. A score need not be in every row of its neuron.

    Args:
        coding: how preferences are written; told by the values where not given.

    Raises:
        StudyError: the file cannot be read, lacks a column, its preferences can't be told, a neuron
            stands against itself, or two rows give it different scores; one line that names the
            file and the line in it.
    """
    rows = rows_of(path, "k_x", "k_y", "R_user")
    if not rows:
        raise StudyError(f"{path}: no pairs")
    coding = coding or detect([(line, row["R_user"]) for line, row in rows], path)
    shares: dict[tuple[str, str], list[float]] = {}
    known: dict[str, dict[str, float]] = defaultdict(dict)
    columns = _score_columns(list(rows[0][1]))
    for line, row in rows:
        x, y = plain(row["k_x"]), plain(row["k_y"])
        if x == y:
            raise StudyError(f"{path}, line {line}: neuron {x[:80]!r} stands against itself")
        share = preference(row["R_user"], coding, path, line)
        if (y, x) in shares:
            shares[y, x].append(1 - share)
        else:
            shares.setdefault((x, y), []).append(share)
        for score, of in columns.items():
            for neuron, column in zip((x, y), of, strict=True):
                value = number_of(row[column], path, line)
                before = known[score].setdefault(neuron, value)
                if math.isnan(before):
                    known[score][neuron] = value
                elif not math.isnan(value) and not math.isclose(before, value, rel_tol=1e-6):
                    raise StudyError(
                        f"{path}, line {line}: {column} of neuron {neuron[:80]!r} is {value:g}, "
                        f"and {before:g} before; a neuron has one value of a score"
                    )
    return Pairs(
        tuple(x for x, _ in shares),
        tuple(y for _, y in shares),
        np.array([sum(said) / len(said) for said in shares.values()]),
        {name: np.array([[of[x], of[y]] for x, y in shares]) for name, of in known.items()},
        coding,
        len(rows),
    )


def read_top(path: Path) -> dict[str, tuple[str, ...]]:
    """Neuron -> its images, the strongest first.

    Raises:
        StudyError: the file cannot be read, or a neuron comes twice.
    """
    top: dict[str, tuple[str, ...]] = {}
    with reading(path) as file:
        rows = numbered(file)
        _, head = next(rows, (1, [""]))
        if head[0].strip() != "k":
            raise StudyError(f"{path}: its first column is not k")
        for line, row in rows:
            if len(row) != len(head):
                raise StudyError(f"{path}, line {line}: {len(row)} cells, not {len(head)}")
            neuron, *images = (plain(short(cell, path, line)) for cell in row)
            if neuron in top:
                raise StudyError(f"{path}, line {line}: neuron {neuron[:80]!r} comes twice")
            top[neuron] = tuple(images)
    return top


def read_activations(path: Path) -> Iterator[tuple[str, Float[np.ndarray, " n"]]]:
    """Neuron by neuron its activations on all images; one row is held at a time.

    Raises:
        StudyError: the file cannot be read, a row is of another length or no numbers, or a neuron
            comes twice.
    """
    with reading(path) as file:
        rows = numbered(file)
        _, head = next(rows, (1, [""]))
        count = len(head) - 1
        if head[0].strip() != "k" or not count:
            raise StudyError(f"{path}: its first column is not k")
        seen = set[str]()
        for line, (name, *cells) in rows:
            neuron = plain(short(name, path, line))
            if neuron in seen:
                raise StudyError(f"{path}, line {line}: neuron {neuron[:80]!r} comes twice")
            seen.add(neuron)
            try:
                acts = np.array(cells, dtype=np.float64)
            except ValueError:
                raise StudyError(f"{path}, line {line}: a cell is no number") from None
            if len(acts) != count:
                raise StudyError(f"{path}, line {line}: {len(acts)} activations, not {count}")
            if not np.isfinite(acts).all():
                raise StudyError(f"{path}, line {line}: an activation is not finite")
            yield neuron, acts


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
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["k", *(f"a_{i}" for i in range(1, images + 1))])
        for name, values in acts:
            rows.writerow([guarded(name), *(f"{value:.9g}" for value in values)])


def _score_columns(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Score -> its columns for x and for y, where there are both."""
    found: dict[str, dict[str, str]] = {}
    for column in names:
        match = _SCORE.match(column)
        if match and match["name"] != "k":
            score = "_".join(filter(None, (match["name"], match["encoder"])))
            found.setdefault(score, {})[match["side"]] = column
    return {name: (at["x"], at["y"]) for name, at in found.items() if len(at) == 2}
