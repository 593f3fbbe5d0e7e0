"""Which values the demo LLaVA can be made to name by clamping one feature, and what that costs.

    python bench/steering_demo.py                              on the demo's run
    python bench/steering_demo.py --dictionaries 'language.1'  with other SAEs
    python bench/steering_demo.py --scenes 400 --seed 1        on other scenes, more of them
    python bench/steering_demo.py --layers --dictionaries .    which layers can be steered at all

One edit at a time: a feature is clamped to k times its largest activation on the bundle's pictures,
at every token of the image, and the model describes scenes in which the value is absent. Three sets
of scenes, none of which the SAEs or the LLaVA learnt from:

1. the bundle's val scenes, by tags: of each dictionary and value the CANDIDATES features whose
   activation tells best which scenes show it (F1). No caption is made.
2. the choosing scenes: all candidates at every k on FIRST scenes; at each k the FINALISTS again on
   THEN scenes, with random features beside them on CHECKED. The best is the one whose smallest
   margin over the bars is largest, each in units of what lies between the bar and the best
   possible. One k for all values: with it most values pass all bars with SPARE; of equal ones the
   smallest.
3. the measuring scenes: the chosen features at that k; and on half of them RANDOM live features of
   the same dictionary, each at k times its own maximum, and each at the very strength that the
   chosen feature was given.

Bars: the value is named in a well-formed caption in 70 % of the scenes; 80 % of the other values
named stay as they were (over all scenes, and over those in which steering worked: the smaller
counts); random features make it be named, in whatever form, in 10 % at most. What is counted:
`scripts/demo/steered.py`.
"""

import argparse
import contextlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# The command works from any folder, whether or not the project is installed.
sys.path.insert(0, str(ROOT))

import duckdb  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image  # noqa: E402
from scipy import sparse  # noqa: E402

from pipeline import config, models  # noqa: E402
from pipeline.bundle import opening, sealed  # noqa: E402
from pipeline.demo.scenes import Scene, render, sample  # noqa: E402
from pipeline.hooks import Edit  # noqa: E402
from pipeline.interventions import FeatureEdit, delta, steering  # noqa: E402
from pipeline.metrics.attributes import best_rules  # noqa: E402
from pipeline.metrics.intervals import ratio, wilson  # noqa: E402
from pipeline.models.layout import Scope  # noqa: E402
from pipeline.saes.sae import SAE  # noqa: E402
from scripts.demo.steered import ATTRIBUTE, Outcome, Tally, is_absent, outcome  # noqa: E402
from scripts.demo.talk import DESCRIBE  # noqa: E402

SEED = 980_000
"""Of the choosing scenes; the next one of the measuring scenes. Nothing learns from these lists."""
NAMED, KEPT, BY_CHANCE = 0.7, 0.8, 0.1
SPARE = 0.25
STRENGTHS = (2.5, 3.0, 3.5)
CURVE = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
CANDIDATES, FIRST, THEN, FINALISTS, CHECKED = 8, 6, 36, 2, 24
RANDOM = 25
PIXELS, BATCH, MORE, LONGEST = 128, 256, 64, 26
LAYERS = (2.0, 3.0, 4.0)
SCOPES: tuple[Scope, ...] = ("image", "prompt", "generated", "all")


@dataclass(frozen=True, eq=False)
class Dictionary:
    """An SAE, and the largest activation [s] of its features on the bundle's pictures."""

    hook: str
    name: str
    sae: SAE
    maximum: NDArray[np.float64]

    @property
    def layer(self) -> str:
        return f"{self.hook.removesuffix('.resid_post')} {self.name}"


@dataclass(frozen=True)
class Clamp:
    """One feature at one strength."""

    dictionary: Dictionary
    feature: int
    strength: float

    @classmethod
    def at(cls, dictionary: Dictionary, feature: int, k: float) -> "Clamp":
        """At k times its maximum."""
        return cls(dictionary, feature, k * float(dictionary.maximum[feature]))


@dataclass
class Seen:
    """A list of scenes, painted and described unsteered as far as they are needed."""

    speaker: "Speaker"
    seed: int
    scenes: list[Scene] = field(default_factory=list)
    pictures: list[Image.Image] = field(default_factory=list)
    plain: list[str] = field(default_factory=list)

    def without(self, value: str, number: int) -> list[int]:
        """The first scenes in which a value is absent."""
        found: list[int] = []
        for index in count():
            if index == len(self.scenes):
                self._more()
            if is_absent(value, self.scenes[index], self.plain[index]):
                found.append(index)
            if len(found) == number:
                return found
        raise AssertionError

    def _more(self) -> None:
        at = len(self.scenes)
        new = [sample(index, seed=self.seed) for index in range(at, at + MORE)]
        self.scenes += new
        self.pictures += [Image.fromarray(render(scene, size=PIXELS), mode="RGB") for scene in new]
        self.plain += self.speaker.say(self.pictures[at:], [(None, range(len(new)))])


Candidates = dict[Dictionary, dict[str, list[int]]]
"""Of each dictionary and value features, best first."""
Job = tuple[Clamp | None, Sequence[int]]


class Speaker:
    """The LLaVA; it describes pictures, each under its own edit of the tokens of a scope."""

    def __init__(self, settings: config.Model, scope: Scope = "image") -> None:
        self.scope = scope
        self.adapter = models.load(settings, device="cpu")
        reader: Any = self.adapter.reader
        self.tokenizer = reader.tokenizer

    def say(self, pictures: Sequence[Image.Image], jobs: Iterable[Job]) -> list[str]:
        """What is said of the pictures that the jobs name, job by job, greedily."""
        said: list[str] = []
        batch: list[tuple[Clamp | None, int]] = []
        for clamp, indices in jobs:
            batch += [(clamp, index) for index in indices]
            while len(batch) >= BATCH:
                said += self._together(pictures, batch[:BATCH])
                batch = batch[BATCH:]
        return said + self._together(pictures, batch) if batch else said

    @torch.inference_mode()
    def _together(
        self, pictures: Sequence[Image.Image], rows: Sequence[tuple[Clamp | None, int]]
    ) -> list[str]:
        prompt = self.adapter.words(DESCRIBE[0])
        inputs = self.adapter.prepare([pictures[at] for _, at in rows], [prompt] * len(rows))
        edited: dict[Dictionary, list[int]] = {}
        for row, (clamp, _) in enumerate(rows):
            if clamp is not None:
                edited.setdefault(clamp.dictionary, []).append(row)
        with contextlib.ExitStack() as stack:
            for dictionary, of in edited.items():
                edits = {dictionary.hook: [row_by_row([rows[row][0] for row in of])]}
                stack.enter_context(
                    steering(self.adapter, inputs, edits, scope=self.scope, examples=of)
                )
            made = self.adapter.generate(inputs, max_new_tokens=LONGEST, do_sample=False)
        new = made[:, inputs.tensors["input_ids"].shape[1] :]
        return [text.strip() for text in self.tokenizer.batch_decode(new, skip_special_tokens=True)]

    def tallies(self, seen: Seen, value: str, jobs: Sequence[Job]) -> list[Tally]:
        """What became of each job's captions; jobs that are one edit each."""
        said = iter(self.say(seen.pictures, jobs))
        return [Tally(tuple(_outcomes(seen, value, of, said))) for _, of in jobs]


def row_by_row(clamps: Sequence[Clamp | None]) -> Edit:
    """An edit of a batch in which row i gets clamp i: a hook each would be slower."""
    parts: list[tuple[Edit, int]] = []
    for clamp, same in groupby(clamps):
        assert clamp is not None
        edit = FeatureEdit(clamp.feature, "clamp", clamp.strength)
        parts.append((delta(clamp.dictionary.sae, [edit]), len(list(same))))
    sizes = [size for _, size in parts]

    def change(acts: torch.Tensor) -> torch.Tensor:
        pieces = zip(parts, acts.split(sizes), strict=True)
        return torch.cat([edit(piece) for (edit, _), piece in pieces])

    return change


def _outcomes(
    seen: Seen, value: str, indices: Sequence[int], said: Iterable[str]
) -> Iterable[Outcome]:
    for index, text in zip(indices, said, strict=False):
        yield outcome(value, said=text, plain=seen.plain[index])


@dataclass(frozen=True)
class Steered:
    """A value, the clamp chosen for it, and what came of it."""

    value: str
    clamp: Clamp
    tally: Tally
    of_one: Tally
    random: Tally
    as_strong: Tally

    @cached_property
    def reached(self) -> bool:
        return margin(self.tally, self.random, self.as_strong) >= 0


def margin(tally: Tally, *controls: Tally) -> float:
    """By how much all bars are passed, in units of what lies between a bar and the best possible:
    the smallest, 1 at most; negative where one is not."""
    room = [
        (tally.share("steered") - NAMED) / (1 - NAMED),
        (tally.worst_kept - KEPT) / (1 - KEPT),
    ]
    return min(room + [(BY_CHANCE - control.share("named")) / BY_CHANCE for control in controls])


def drawn(clamp: Clamp, number: int, *, seed: tuple[int, ...]) -> list[int]:
    """Live features of the clamp's dictionary, not its own."""
    live = np.flatnonzero(clamp.dictionary.maximum > 0)
    rng = np.random.default_rng(seed)
    found: list[int] = rng.choice(live[live != clamp.feature], number, replace=False).tolist()
    return found


def joined(tallies: Sequence[Tally]) -> Tally:
    return Tally(tuple(one for tally in tallies for one in tally.outcomes))


def opened(run: Path, pattern: str) -> tuple[config.Model, Candidates]:
    """The model of a run, its SAEs whose name the pattern finds, and their candidates."""
    bundle = opening.open_bundle(run)
    ((_, settings),) = bundle.manifest["config"]["models"].items()
    with duckdb.connect(str(bundle.database), read_only=True) as db:
        rows = db.execute(
            "SELECT dictionary_id, hook, name FROM dictionaries WHERE basis = 'sae' "
            "ORDER BY depth, name"
        ).fetchall()
        rows = [row for row in rows if re.search(pattern, row[0])]
        if not rows:
            raise sealed.StoreError(f"{run}: no SAE's name holds {pattern!r}; give another pattern")
        examples = db.execute(
            "SELECT example_id, tags FROM examples WHERE split = 'val' ORDER BY example_id"
        ).fetchall()
        candidates: Candidates = {}
        for dictionary_id, hook, name in rows:
            largest = db.execute(
                "SELECT max FROM features WHERE dictionary_id = ? ORDER BY feature_id",
                [dictionary_id],
            ).fetchnumpy()["max"]
            made = Dictionary(
                hook, name, SAE.load(bundle.sae(dictionary_id)), largest.astype(np.float64)
            )
            acts = db.execute(
                "SELECT feature_id, example_id, activation FROM activations "
                "WHERE dictionary_id = ? AND modality = 'image'",
                [dictionary_id],
            ).fetchnumpy()
            candidates[made] = tells(acts, examples, len(largest))
    return config.Model.model_validate(settings), candidates


def tells(
    acts: Mapping[str, NDArray[Any]], examples: Sequence[tuple[int, Sequence[str]]], d_sae: int
) -> dict[str, list[int]]:
    """Of each value the CANDIDATES features that tell best which pictures show it."""
    ids = np.array([example for example, _ in examples])
    has = np.array([[value in tags for value in ATTRIBUTE] for _, tags in examples])
    at = (np.searchsorted(ids, acts["example_id"]), acts["feature_id"])
    f1 = best_rules(sparse.csc_matrix((acts["activation"], at), shape=(len(ids), d_sae)), has).f1
    order = np.argsort(-f1, 0, kind="stable")[:CANDIDATES]
    return {value: order[:, column].tolist() for column, value in enumerate(ATTRIBUTE)}


Choice = dict[float, dict[str, tuple[Clamp, float]]]
"""k -> value -> the clamp chosen, and by how much it passes the bars on the choosing scenes."""


def choose(
    speaker: Speaker, seen: Seen, candidates: Candidates, *, seed: int
) -> tuple[float, Choice]:
    """The k for all values, and what is chosen at each k."""
    best: Choice = {k: {} for k in STRENGTHS}
    for number, value in enumerate(ATTRIBUTE):
        first, then = (seen.without(value, scenes) for scenes in (FIRST, THEN))
        features = [(d, f) for d, of in candidates.items() for f in of[value] if d.maximum[f] > 0]
        clamps = [Clamp.at(*one, k) for k in STRENGTHS for one in features]
        tallies = speaker.tallies(seen, value, [(clamp, first) for clamp in clamps])
        margins = [margin(tally) for tally in tallies]
        for place, k in enumerate(STRENGTHS):
            part = range(place * len(features), (place + 1) * len(features))
            last = [clamps[at] for at in sorted(part, key=lambda at: -margins[at])[:FINALISTS]]
            jobs: list[Job] = []
            for clamp in last:
                others = drawn(clamp, RANDOM // 2, seed=(seed, number))
                jobs.append((clamp, then))
                jobs += [
                    (Clamp(clamp.dictionary, f, clamp.strength), then[at : CHECKED : len(others)])
                    for at, f in enumerate(others)
                ]
            found = speaker.tallies(seen, value, jobs)
            step = len(found) // len(last)
            passed = [
                margin(found[at], joined(found[at + 1 : at + step]))
                for at in range(0, len(found), step)
            ]
            best[k][value] = max(zip(last, passed, strict=True), key=lambda pair: pair[1])
        note(f"{value}: chosen")
    return max(STRENGTHS, key=lambda k: (passing(best[k], SPARE), -k)), best


def passing(of_k: Mapping[str, tuple[Clamp, float]], by: float) -> int:
    """How many values pass all bars by so much."""
    return sum(passed >= by for _, passed in of_k.values())


def layers(speaker: Speaker, seen: Seen, candidates: Candidates) -> Iterable[list[str]]:
    """Of each dictionary how many values its best of half the candidates brings, k by k: chosen and
    counted on the same few scenes, which flatters all alike."""
    for d, of in candidates.items():
        best: dict[float, list[Tally]] = {k: [] for k in LAYERS}
        for value in ATTRIBUTE:
            features = [f for f in of[value][: CANDIDATES // 2] if d.maximum[f] > 0]
            some = seen.without(value, 2 * FIRST)
            jobs = [(Clamp.at(d, f, k), some) for k in LAYERS for f in features]
            tallies = speaker.tallies(seen, value, jobs)
            for place, k in enumerate(LAYERS):
                part = tallies[place * len(features) : (place + 1) * len(features)]
                best[k].append(max(part, key=margin, default=Tally(())))
        note(f"{d.layer}: done")
        yield [
            d.layer,
            *(
                f"{sum(margin(tally) >= 0 for tally in of_k)} "
                f"({np.mean([tally.share('steered') for tally in of_k]):.0%}, "
                f"{np.mean([tally.kept for tally in of_k]):.0%})"
                for of_k in best.values()
            ),
        ]


def measure(
    speaker: Speaker, seen: Seen, value: str, clamp: Clamp, *, k: float, number: int, seed: int
) -> Steered:
    """A chosen clamp on the measuring scenes, and the two controls on the same."""
    indices = seen.without(value, number)
    d, half = clamp.dictionary, indices[: number // 2]
    others = drawn(clamp, RANDOM, seed=(seed, list(ATTRIBUTE).index(value), 1))
    parts = [(f, half[place::RANDOM]) for place, f in enumerate(others)]
    own = [(Clamp.at(d, f, k), part) for f, part in parts]
    same = [(Clamp(d, f, clamp.strength), part) for f, part in parts]
    tally, *controls = speaker.tallies(seen, value, [(clamp, indices), *own, *same])
    random, as_strong = joined(controls[:RANDOM]), joined(controls[RANDOM:])
    single = [
        one
        for index, one in zip(indices, tally.outcomes, strict=True)
        if len(seen.scenes[index].items) == 1
    ]
    note(f"{value}: measured")
    return Steered(value, clamp, tally, Tally(tuple(single)), random, as_strong)


def row(one: Steered, seed: int) -> list[str]:
    """A line of the main table."""
    tally, n = one.tally, len(one.tally.outcomes)
    low, high = wilson(sum(o.steered for o in tally.outcomes), n)
    columns = [np.array([getattr(o, name) for o in tally.outcomes]) for name in ("kept", "others")]
    kept_low, kept_high = ratio(*columns, seed=seed, resamples=2000)
    return [
        one.value,
        f"{one.clamp.dictionary.layer} {one.clamp.feature}",
        f"{one.clamp.strength:.1f}",
        f"{tally.share('named'):.0%}",
        f"{tally.share('steered'):.0%} [{low:.0%}, {high:.0%}]",
        f"{tally.kept:.0%} [{kept_low:.0%}, {kept_high:.0%}]",
        f"{tally.kept_where_steered:.0%}" if tally.share("steered") else "–",
        f"{tally.share('clean'):.0%}",
        f"{one.of_one.share('steered'):.0%} / {one.of_one.kept:.0%}",
        f"{one.random.share('named'):.0%} / {one.as_strong.share('named'):.0%}",
        "yes" if one.reached else "no",
    ]


HEADS = (
    "value",
    "feature",
    "strength",
    "named",
    "named, well-formed",
    "others kept",
    "kept where named",
    "nothing else changed",
    "one item: named / kept",
    "random features: own k / same strength",
    "reached",
)


def curve(
    speaker: Speaker, seen: Seen, chosen: Mapping[str, Clamp], strengths: Sequence[float]
) -> list[list[str]]:
    """The chosen features at other multiples of their maximum, on the choosing scenes."""
    every: dict[float, list[Tally]] = {k: [] for k in strengths}
    for value, clamp in chosen.items():
        indices = seen.without(value, 2 * FIRST)
        jobs = [(Clamp.at(clamp.dictionary, clamp.feature, k), indices) for k in strengths]
        for k, tally in zip(strengths, speaker.tallies(seen, value, jobs), strict=True):
            every[k].append(tally)
    lines = []
    for k, tallies in every.items():
        whole = joined(tallies)
        shares = [whole.share(name) for name in ("named", "formed", "steered")]
        reached = sum(margin(tally) >= 0 for tally in tallies)
        cells = [*shares, whole.kept, whole.kept_where_steered, whole.share("clean")]
        lines.append([f"{k:g}", *(f"{cell:.0%}" for cell in cells), str(reached)])
    return lines


def show(caption: str, heads: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """A table of Markdown."""
    print(f"\n{caption}\n\n| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for line in lines:
        print("| " + " | ".join(line) + " |")


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def report(options: argparse.Namespace) -> None:
    """Choose, measure, print."""
    settings, candidates = opened(options.run, options.dictionaries)
    dictionaries = list(candidates)
    speaker = Speaker(settings, options.scope)
    choosing, measuring = (Seen(speaker, SEED + 2 * options.seed + one) for one in (0, 1))
    if options.layers:
        show(
            f"Values that reach both bars (mean named, well-formed; kept), scope {options.scope}",
            ("dictionary", *(f"k = {k:g}" for k in LAYERS)),
            layers(speaker, choosing, candidates),
        )
        return
    k, best = choose(speaker, choosing, candidates, seed=options.seed)
    results = [
        measure(speaker, measuring, value, clamp, k=k, number=options.scenes, seed=options.seed)
        for value, (clamp, _) in best[k].items()
    ]
    print(
        f"\n{', '.join(d.layer for d in dictionaries)}; clamp to {k:g} times the maximum, "
        f"scope {options.scope}; {options.scenes} scenes a value."
    )
    reached = sum(one.reached for one in results)
    show(f"{reached} of {len(results)} values", HEADS, (row(one, options.seed) for one in results))
    several = [o for one in results for o in one.tally.outcomes if o.steered and o.items > 1]
    share = sum(o.taking for o in several) / max(1, sum(o.items for o in several))
    print(f"\nWhere it worked and several items are named, {share:.0%} of them take the value.")
    show(
        "The rule, on the choosing scenes: values that pass, and whose features are chosen",
        ("k", "pass all bars", "with a quarter to spare", *(d.layer for d in dictionaries)),
        (
            [
                f"{strength:g}",
                str(passing(of, 0)),
                str(passing(of, SPARE)),
                *(
                    str(sum(clamp.dictionary is d for clamp, _ in of.values()))
                    for d in dictionaries
                ),
            ]
            for strength, of in best.items()
        ),
    )
    chosen = {value: clamp for value, (clamp, _) in best[k].items()}
    show(
        "The chosen features at other strengths, on choosing scenes, all values together",
        ("k", "named", "well-formed", "named, well-formed", "others kept", "kept where named",
         "nothing else changed", "values"),
        curve(speaker, choosing, chosen, CURVE),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", default=Path("data/runs/demo-llava"))
    parser.add_argument("--dictionaries", default=r"language\.0\.", help="pattern of their names")
    parser.add_argument("--scenes", type=int, default=200, help="measured for each value")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes and the controls")
    parser.add_argument("--scope", choices=SCOPES, default="image", help="tokens that are edited")
    parser.add_argument("--layers", action="store_true", help="compare the dictionaries instead")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        report(options)
    except sealed.StoreError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
