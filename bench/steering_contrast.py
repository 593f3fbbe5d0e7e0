"""What one feature of the image encoder does to zero-shot labels, on held-out scenes of the demo.

    python bench/steering_contrast.py              the run data/runs/demo
    python bench/steering_contrast.py --scenes 100

For each of the 23 colours, textures, backgrounds and shapes, feature and strength are chosen by one
rule on one set of scenes and measured on another. The rule: of the CANDIDATES SAE features of the
vision layers that the run labels with the value and that fire most strongly, and of STRENGTHS,
times the feature's maximum, the pair whose clamp has the largest product of labels turned and
others kept. A label turns where the scene shows the value nowhere and its zero-shot label of that
attribute, which was another, becomes the value. Kept is the share of the other three attributes'
labels, in the same scenes, that stay. Beside it RANDOM live features of the same dictionary at the
same multiple of their maximum.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import duckdb  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

from pipeline import config, models  # noqa: E402
from pipeline.bundle import opening  # noqa: E402
from pipeline.demo import CLIP_FOLDER  # noqa: E402
from pipeline.demo.scenes import VOCABULARY, Scene, render, sample  # noqa: E402
from pipeline.interventions import FeatureEdit, delta, steering  # noqa: E402
from pipeline.models.adapter import Adapter  # noqa: E402
from pipeline.models.inputs import Inputs  # noqa: E402
from pipeline.saes.sae import SAE  # noqa: E402

ATTRIBUTES = ("colour", "texture", "background", "shape")
CHOOSING, MEASURING = 770_001, 770_002
"""Seeds of the scenes; of no training, and not the run's."""
STRENGTHS = (1.0, 1.5, 2.0, 3.0)
CANDIDATES, RANDOM = 6, 3
TEMPLATE, PIXELS, JOINT = "a photo of {}", 128, "vision.projection"
Chosen = tuple[str, int, float]
"""Dictionary, feature, its maximum."""


class Encoder:
    """The image encoder with the labels of each attribute."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.labels = {one: self._words(VOCABULARY[one]) for one in ATTRIBUTES}

    def _words(self, values: Sequence[str]) -> torch.Tensor:
        words = self.adapter.read_words([TEMPLATE.format(v) for v in values], longest=32)
        acts, _ = self.adapter.record_words(words, [JOINT])
        return torch.nn.functional.normalize(acts[JOINT][:, 0], dim=1)

    def says(self, inputs: Inputs, edit: tuple[str, object] | None = None) -> dict[str, np.ndarray]:
        """The zero-shot label of each attribute, by number, of each scene."""
        edits = {} if edit is None else {edit[0]: [edit[1]]}
        with steering(self.adapter, inputs, edits, scope="image"):
            acts = self.adapter.record(inputs, [JOINT])[JOINT][:, 0]
        return {one: (acts @ of.T).argmax(1).numpy() for one, of in self.labels.items()}


def scenes(count: int, seed: int, encoder: Encoder) -> tuple[list[Scene], Inputs]:
    found = [sample(index, seed=seed) for index in range(count)]
    pictures = [Image.fromarray(render(scene, size=PIXELS)) for scene in found]
    return found, encoder.adapter.prepare(pictures)


def shows(scene: Scene, attribute: str, value: str) -> bool:
    if attribute == "background":
        return scene.background == value
    return any(getattr(item, attribute) == value for item in scene.items)


def figures(
    said: Mapping[str, np.ndarray],
    plain: Mapping[str, np.ndarray],
    absent: np.ndarray,
    attribute: str,
    number: int,
) -> tuple[float, float, int]:
    """(share of labels turned, share of the others' labels kept, scenes)."""
    meant = absent & (plain[attribute] != number)
    turned = float((said[attribute][meant] == number).mean()) if meant.any() else float("nan")
    others = [one for one in ATTRIBUTES if one != attribute]
    kept = float(np.mean([(said[one][meant] == plain[one][meant]).mean() for one in others]))
    return turned, kept, int(meant.sum())


def candidates(connection: duckdb.DuckDBPyConnection, value: str) -> list[Chosen]:
    """The features with this label that fire most strongly."""
    sql = """SELECT dictionary_id, feature_id, f.max FROM features f
        JOIN dictionaries d USING (dictionary_id)
        WHERE d.basis = 'sae' AND d.hook LIKE 'vision.%.resid_post' AND f.label = ?
            AND f.n_active >= 16
        ORDER BY f.max DESC, dictionary_id, feature_id LIMIT ?"""
    return connection.execute(sql, [value, CANDIDATES]).fetchall()


def others(
    connection: duckdb.DuckDBPyConnection, chosen: Chosen, rng: np.random.Generator
) -> list[Chosen]:
    """Random live features of the same dictionary."""
    sql = """SELECT dictionary_id, feature_id, max FROM features WHERE dictionary_id = ?
        AND feature_id != ? AND n_active >= 16 ORDER BY feature_id"""
    every = connection.execute(sql, [chosen[0], chosen[1]]).fetchall()
    return [every[i] for i in rng.choice(len(every), min(RANDOM, len(every)), replace=False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=ROOT / "data/runs/demo")
    parser.add_argument("--choose", type=int, default=60, help="scenes to choose by")
    parser.add_argument("--scenes", type=int, default=300, help="scenes to measure on")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bundle = opening.open_bundle(options.run)
    connection = duckdb.connect(str(bundle.database), read_only=True)
    settings = config.Model(id=str(CLIP_FOLDER), hooks=("vision.3.resid_post",))
    encoder = Encoder(models.load(settings, device="cpu"))
    saes: dict[str, SAE] = {}
    rng = np.random.default_rng(0)

    def edit(one: Chosen, times: float) -> tuple[str, object]:
        if one[0] not in saes:
            saes[one[0]] = SAE.load(bundle.sae(one[0]))
        sae = saes[one[0]]
        return one[0].split("/")[1], delta(sae, [FeatureEdit(one[1], "clamp", times * one[2])])

    first, first_in = scenes(options.choose, CHOOSING, encoder)
    second, second_in = scenes(options.scenes, MEASURING, encoder)
    plain = [encoder.says(first_in), encoder.says(second_in)]
    print("| value | feature | × max | turned | others kept | scenes | random turned |")
    print("|---|---|---|---|---|---|---|")
    totals = []
    for attribute in ATTRIBUTES:
        for number, value in enumerate(VOCABULARY[attribute]):
            absent = [
                np.array([not shows(scene, attribute, value) for scene in of])
                for of in (first, second)
            ]

            def tried(one: Chosen, times: float, at: int) -> tuple[float, float, int]:
                said = encoder.says((first_in, second_in)[at], edit(one, times))
                return figures(said, plain[at], absent[at], attribute, number)  # noqa: B023

            trials = [
                (float(np.prod(tried(one, times, 0)[:2])), -times, one)
                for one in candidates(connection, value)
                for times in STRENGTHS
            ]
            if not trials:
                print(f"| {value} | no feature has this label | | | | | |", flush=True)
                totals.append((0.0, 1.0, 0.0))
                continue
            _, times, best = max(trials, key=lambda trial: trial[:2])
            turned, kept, count = tried(best, -times, 1)
            control = np.mean([tried(o, -times, 1)[0] for o in others(connection, best, rng)])
            _, hook, name = best[0].split("/")
            where = f"{hook.removesuffix('.resid_post')} {name} #{best[1]}"
            print(
                f"| {value} | {where} | {-times:g} | {turned:.0%} | {kept:.0%} | {count} | "
                f"{control:.0%} |",
                flush=True,
            )
            totals.append((turned, kept, control))
    turned, kept, control = np.array(totals).T
    print(
        f"\n{(turned >= 0.7).sum()} of {len(turned)} values turn in at least 70 %, "
        f"{((turned >= 0.7) & (kept >= 0.8)).sum()} of them with at least 80 % of the others "
        f"kept; means: turned {turned.mean():.0%}, kept {kept.mean():.0%}, random "
        f"{control.mean():.0%}."
    )


if __name__ == "__main__":
    main()
