"""Which features stand for one attribute in pictures, in words, in both, where tags are the truth.

    python bench/modalities.py                         on both of the demo's runs
    python bench/modalities.py data/runs/mine          on another one whose images have tags

From the published tables alone. A feature says that an attribute is there where its activation is
above a threshold. Thresholds, and which feature for which value, are chosen on half of the val
images (drawn by SEED), F1 is measured on the other half. "In both" is the smaller of a feature's
two F1, each side with its own threshold. Controls: each image's tags given to another image
("shuffled"), and each feature's words taken from another feature. Of neurons only the 1,024 images
that activate them most are published, and nothing of captions.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats

from pipeline.bundle.opening import Bundle, open_bundle
from pipeline.bundle.sealed import StoreError
from pipeline.demo.scenes import VOCABULARY
from pipeline.metrics.attributes import always, best_rules, f1_of
from pipeline.metrics.convergence import TOLERANCE, converged
from pipeline.metrics.labels import tag_matrix
from pipeline.metrics.modality import derangement

SEED = 0
GOOD = 0.8
"""F1 from which on a feature stands for an attribute. Values that "always yes" gets so far by are
left out: of scenes, small and large."""
RUNS = (Path("data/runs/demo-llava"), Path("data/runs/demo"))
SIDES = ("image", "text")
UNNAMED = ("position", "count")
"""Attributes that captions name only of single items, or not at all."""
SCORES = ("pair correlation", "bridge", "top overlap", "evenness")
KINDS = ("image", "text", "both")
ATTRIBUTE = {value: name for name, values in VOCABULARY.items() for value in values}
MAIN = "background"
"""Of scenes the attribute that takes most of the features of late layers."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """The val images and what is in them: `has` [n, t] of `names`, in the order of `ids`."""

    ids: NDArray[np.int64]
    has: NDArray[np.bool_]
    names: list[str]

    @cached_property
    def halves(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows to choose on, and rows to measure on."""
        order = np.random.default_rng(SEED).permutation(len(self.ids))
        return order[: len(order) // 2], order[len(order) // 2 :]

    @cached_property
    def shuffled(self) -> NDArray[np.bool_]:
        """Each image with the tags of another."""
        return self.has[derangement(len(self.ids), SEED)]

    def of(self, *attributes: str) -> NDArray[np.bool_]:
        """Which values belong to these attributes and can be told from "always yes"."""
        wanted = {value for name in attributes for value in VOCABULARY[name]}
        return np.array([name in wanted for name in self.names]) & (always(self.has) < GOOD)

    @cached_property
    def named(self) -> NDArray[np.bool_]:
        """Values that captions name; of images that are no scenes all values."""
        every = [name for name in VOCABULARY if name not in UNNAMED]
        of = self.of(*every)
        return of if of.any() else always(self.has) < GOOD


class Dictionary:
    """One dictionary and how well its features tell attributes; activations [n, s] by side."""

    def __init__(self, bundle: Bundle, truth: Truth, row: dict[str, Any]) -> None:
        self.name: str = f"{row['hook']} / {row['name']}"
        self.size: int = row["d_sae"]
        self.is_sae = row["basis"] == "sae"
        self.truth = truth
        self.bundle, self.id = bundle, row["dictionary_id"]
        self.hook: str = row["hook"]
        self.acts = {side: acts for side in SIDES if (acts := self._read(side)).nnz}
        self.both = set(SIDES) <= set(self.acts)

    def _read(self, side: str) -> sparse.csc_matrix:
        feature, example, value = table(
            self.bundle,
            "activations",
            "SELECT feature_id, example_id, activation FROM {} "
            "WHERE dictionary_id = ? AND modality = ? ORDER BY ALL",
            self.id,
            side,
        ).values()
        if not self.is_sae and len(value):
            value = value - value.min() + 1  # neurons may be negative; their order is what counts
        at = (np.searchsorted(self.truth.ids, example), feature)
        return sparse.csc_matrix((value, at), shape=(len(self.truth.ids), self.size))

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        return np.any([np.diff(acts.indptr) > 0 for acts in self.acts.values()], axis=0)

    @cached_property
    def f1(self) -> "Measured":
        return self._measured(self.truth.has)

    @cached_property
    def shuffled(self) -> "Measured":
        return self._measured(self.truth.shuffled)

    @cached_property
    def of_two(self) -> NDArray[np.bool_]:
        """[s], which features tell "one of these two" of the main attribute's values in both."""
        pairs = list(combinations(np.flatnonzero(self.truth.of(MAIN)), 2))
        if not pairs:
            return np.zeros(self.size, bool)
        either = np.stack([self.truth.has[:, pair].any(1) for pair in pairs], 1)
        every = np.ones(len(pairs), bool)
        found: NDArray[np.bool_] = self._measured(either).of_features("both", every)[1] >= GOOD
        return found

    def _measured(self, has: NDArray[np.bool_]) -> "Measured":
        first, second = self.truth.halves
        chosen, found = {}, {}
        for side, acts in self.acts.items():
            rows = acts.tocsr()
            rules = best_rules(rows[first], has[first])
            chosen[side] = rules.f1
            found[side] = f1_of(rows[second], has[second], threshold_st=rules.threshold)
        if self.both:
            for kind in (chosen, found):
                kind["both"] = np.minimum(kind["image"], kind["text"])
        return Measured(chosen, found)

    @cached_property
    def scores(self) -> dict[str, Floats]:
        """What the table `modality` says of its features, and how even they are: 1 - |2 MS - 1|."""
        columns = table(
            self.bundle,
            "modality",
            'SELECT correlation AS "pair correlation", correlation_shuffled, bridge, '
            'top_overlap AS "top overlap", '
            "1 - abs(2 * modality_score - 1) AS evenness, modality_score, bridge_feature "
            "FROM {} WHERE dictionary_id = ? ORDER BY feature_id",
            self.id,
        )
        return {name: filled(values) for name, values in columns.items()}


@dataclass(frozen=True)
class Measured:
    """F1 [s, t] by side and in "both": on the half where rules are chosen, and on the other."""

    chosen: dict[str, Floats]
    found: dict[str, Floats]

    def of_values(self, kind: str) -> Floats:
        """[t], of each value by the feature that is chosen for it."""
        best = self.chosen[kind].argmax(0)
        return self.found[kind][best, np.arange(len(best))]

    def of_features(self, kind: str, which: NDArray[np.bool_]) -> tuple[NDArray[np.int64], Floats]:
        """[s], the value that is chosen for each feature, of these values, and F1."""
        values = np.flatnonzero(which)
        best = values[self.chosen[kind][:, values].argmax(1)]
        return best, self.found[kind][np.arange(len(best)), best]

    def crossed(self, live: NDArray[np.bool_]) -> "Measured":
        """Each live feature's pictures with the words of another."""
        rows = np.flatnonzero(live)
        order = np.arange(len(live))
        order[rows] = rows[derangement(len(rows), SEED)]
        pairs = ((f["image"], f["text"][order]) for f in (self.chosen, self.found))
        chosen, found = ({"both": np.minimum(*pair)} for pair in pairs)
        return Measured(chosen, found)


def table(bundle: Bundle, name: str, query: str, *values: Any) -> dict[str, NDArray[Any]]:
    """Columns of a published Parquet table, which the query calls {}."""
    file = str(bundle.table(name)).replace("'", "''")
    with duckdb.connect() as connection:
        return connection.execute(query.format(f"'{file}'"), list(values)).fetchnumpy()


def filled(values: NDArray[Any]) -> Floats:
    return np.ma.filled(np.ma.asarray(values).astype(np.float64), np.nan)


def read(path: Path) -> tuple[Bundle, list[Dictionary]]:
    """The dictionaries at the hook points of a run that words reach."""
    bundle = open_bundle(path)
    rows = table(
        bundle,
        "examples",
        "SELECT example_id, tags FROM {} WHERE split = 'val' ORDER BY example_id",
    )
    matrix, names = tag_matrix([list(tags) for tags in rows["tags"]])
    if not names:
        raise StoreError(f"{path}: its images have no tags, so that what is in them is not known")
    truth = Truth(rows["example_id"], matrix > 0, names)
    listed = table(bundle, "dictionaries", "SELECT * FROM {} ORDER BY model, depth, basis, name")
    found = [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]
    made = [Dictionary(bundle, truth, row) for row in found]
    spoken = {d.hook for d in made if d.both}
    if not spoken:
        raise StoreError(f"{path}: words reach no dictionary of it; name hooks that they reach")
    return bundle, [d for d in made if d.hook in spoken]


def show(caption: str, rows: Iterable[dict[str, str]]) -> None:
    """A table of Markdown."""
    every = list(rows)
    print(f"\n{caption}\n\n| " + " | ".join(every[0]) + " |\n" + "|---" * len(every[0]) + "|")
    for row in every:
        print("| " + " | ".join(row.values()) + " |")


def values(d: Dictionary) -> dict[str, str]:
    """How many values have a feature."""
    named, row = d.truth.named, {"dictionary": d.name}
    for kind, head in zip(KINDS, ("in pictures", "in words", "in both"), strict=True):
        if kind in d.f1.found:
            of, control = (m.of_values(kind)[named] for m in (d.f1, d.shuffled))
            good = int((of >= GOOD).sum())
            row[head] = f"{good} ({np.median(of):.2f}; {np.median(control):.2f})"
        else:
            row[head] = "–"
    return row


def features(d: Dictionary) -> dict[str, str]:
    """How many features stand for one value, and of which attributes they are in both."""
    named = d.truth.named
    row = {"dictionary": d.name, "live": str(int(d.live.sum()))}
    for kind, head in zip(KINDS, ("in pictures", "in words", "in both"), strict=True):
        good = d.f1.of_features(kind, named)[1][d.live] >= GOOD if kind in d.f1.found else None
        row[head] = "–" if good is None else str(int(good.sum()))
    if d.both:
        other = d.f1.crossed(d.live).of_features("both", named)[1][d.live]
        row["words of another"] = str(int((other >= GOOD).sum()))
    else:
        row["words of another"] = "–"
    kind = "both" if d.both else "image"
    value, f1 = d.f1.of_features(kind, named)
    which = [d.truth.names[v] for v in value[(f1 >= GOOD) & d.live]]
    counts = Counter(ATTRIBUTE.get(name, name) for name in which).most_common()
    row["attributes"] = ", ".join(f"{count} {name}" for name, count in counts) or "none"
    return row


def by_attribute(d: Dictionary) -> dict[str, str]:
    """Median F1 over each attribute's values."""
    row = {"dictionary": d.name}
    for attribute, named in VOCABULARY.items():
        group = [d.truth.names.index(value) for value in named if value in d.truth.names]
        of = (np.median(d.f1.of_values(kind)[group]) for kind in KINDS)
        row[attribute] = " / ".join(f"{median:.2f}" for median in of) if group else "–"
    return row


def predictions(d: Dictionary) -> dict[str, str]:
    """Whether scores that need no truth tell the features that stand for one value in both."""
    value, f1 = (found[d.live] for found in d.f1.of_features("both", d.truth.named))
    is_one = f1 >= GOOD
    scores = {name: np.nan_to_num(d.scores[name], nan=-1)[d.live] for name in SCORES}
    row = {"dictionary": d.name} | {n: auroc(s, is_one) for n, s in scores.items()}
    correlation, bridge = scores["pair correlation"], scores["bridge"]
    main = np.array([ATTRIBUTE.get(d.truth.names[v]) == MAIN for v in value])
    rest = ~(is_one & main)
    row[f"pair correlation, without {MAIN}s"] = auroc(correlation[rest], is_one[rest])
    row["bridge given correlation"] = f"{partial(bridge, f1, correlation):+.2f}"
    high = correlation > 0.9
    of_two = d.of_two[d.live] & ~is_one
    counts = (int((which & high).sum()) for which in (is_one, of_two))
    row[f"one value, two {MAIN}s of > 0.9"] = " + ".join(map(str, counts)) + f" of {high.sum()}"
    row["bridge's partner"] = partners(d)
    return row


def partners(d: Dictionary) -> str:
    """Of features that stand for a value in pictures the share whose best bridge leads to another
    that stands for it in words; and the share of a partner drawn from the live ones."""
    value, f1 = d.f1.of_features("image", d.truth.named)
    partner = np.nan_to_num(d.scores["bridge_feature"], nan=-1).astype(int)
    some = np.flatnonzero((f1 >= GOOD) & (partner >= 0))
    if not len(some):
        return "–"
    words = d.f1.found["text"] >= GOOD
    led = words[partner[some], value[some]].mean()
    return f"{led:.2f} / {words[d.live].mean(0)[value[some]].mean():.2f}"


def auroc(score: Floats, positive: NDArray[np.bool_]) -> str:
    """How often one of the positives is above one of the others (Mann and Whitney 1947)."""
    if positive.all() or not positive.any():
        return "–"
    u = stats.mannwhitneyu(score[positive], score[~positive]).statistic
    return f"{u / positive.sum() / (~positive).sum():.2f}"


def partial(a: Floats, b: Floats, given: Floats) -> float:
    """Spearman's correlation of a and b, what `given` says of both taken off."""
    pairs = ((a, b), (a, given), (b, given))
    ab, ac, bc = (float(stats.spearmanr(x, y).statistic) for x, y in pairs)
    return (ab - ac * bc) / float(np.sqrt((1 - ac**2) * (1 - bc**2)))


def sharing(d: Dictionary) -> dict[str, str]:
    """How many features fire on both, beside the shuffled baseline; where modality scores lie."""
    rows = table(
        d.bundle,
        "overlap",
        "SELECT threshold, shared, shared_shuffled FROM {} "
        "WHERE dictionary_id = ? AND threshold IN (0.001, 0.05, 0.2) ORDER BY threshold",
        d.id,
    )
    row = {"dictionary": d.name}
    for threshold, shared, shuffled in zip(*rows.values(), strict=True):
        row[f"fire on > {threshold:.1%}"] = f"{shared:.2f} / {shuffled:.2f}"
    ms = d.scores["modality_score"][d.live]
    row["MS below 0.05 or above 0.95"] = f"{(np.minimum(ms, 1 - ms) < 0.05).mean():.2f}"
    pair = (np.nanmedian(d.scores[name]) for name in ("pair correlation", "correlation_shuffled"))
    row["median pair correlation"] = " / ".join(f"{median:.2f}" for median in pair)
    return row


def reconstruction(d: Dictionary) -> dict[str, tuple[float, float]]:
    """(fvu, l0) by kind of token."""
    rows = table(
        d.bundle,
        "reconstruction",
        "SELECT token_type, fvu, l0 FROM {} WHERE dictionary_id = ?",
        d.id,
    )
    return {kind: (fvu, l0) for kind, fvu, l0 in zip(*rows.values(), strict=True)}


def meeting(dictionaries: Sequence[Dictionary]) -> Iterator[str]:
    """From which layer on the dictionaries of each name give back pictures as well as words."""
    layers: dict[str, list[Dictionary]] = {}
    for d in dictionaries:
        layers.setdefault(d.name.split(" / ")[1], []).append(d)
    for name, found in layers.items():
        of = [reconstruction(d) for d in found]
        if len(of) > 1 and all("patch" in each for each in of):
            fvu = ([each[kind][0] for each in of] for kind in ("patch", "caption_alone"))
            at = converged(*fvu, tolerance=TOLERANCE)
            yield f"{name}: {'at no layer' if at is None else f'from {found[at].hook} on'}"


def report(path: Path) -> None:
    """All tables of one run."""
    bundle, every = read(path)
    truth, spoken = every[0].truth, [d for d in every if d.both]
    named = int(truth.named.sum())
    print(
        f"\n## {bundle.manifest.get('name', path.name)}: {len(truth.ids):,} images, {named} values"
    )
    show("Values with F1 >= 0.8 (median F1; shuffled)", map(values, every))
    show("Features of one value, F1 >= 0.8", map(features, every))
    show("Median F1 by attribute: pictures / words / both", map(by_attribute, spoken))
    show("AUROC: do scores tell features of one value in both?", map(predictions, spoken))
    show("Share of live features that fire on both / shuffled", map(sharing, spoken))
    kinds = ("image", "patch", "caption", "caption_alone")
    rows = ({"dictionary": d.name} | {
        kind: f"{of[kind][0]:.2f} ({of[kind][1]:.0f})" if kind in of else "–" for kind in kinds
    } for d in spoken for of in [reconstruction(d)])  # fmt: skip
    show("fvu (l0) by kind of token", rows)
    if met := "; ".join(meeting(spoken)):
        print(f"\nPatches and captions alone within {TOLERANCE:.0%} of each other, {met}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*", default=RUNS, metavar="RUN")
    try:
        for run in parser.parse_args().runs:
            report(run)
    except StoreError as error:
        sys.exit(f"error: {error}")
