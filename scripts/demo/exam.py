"""What the demo LLaVA is asked to be judged, and how right its answers are.

Questions are balanced: every answer of a kind is asked for equally often, so that whoever always
gives the same one is right in one of so many cases.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.demo.scenes import VOCABULARY, Scene, caption, sample
from scripts.demo import talk


@dataclass(frozen=True, slots=True)
class Question:
    """A scene, what is asked about it, and the answer."""

    scene: Scene
    turn: talk.Turn


def questions(*, seed: int, each: int) -> dict[str, list[Question]]:
    """Balanced questions of every kind, scenes as they come.

    Args:
        seed: names the list of scenes; each kind has scenes of its own from it.
        each: questions of a kind; a multiple of 360 gives every answer the same number.

    Returns:
        Of each attribute in `talk.ASKED`, and of "check " with each kind in `talk.CHECKED`, the
        questions. Only scenes of one item are asked for the position.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[Question]] = {}
    for attribute in talk.ASKED:
        found[attribute] = _gather(attribute, VOCABULARY[attribute], each, seed, rng)
    for kind in talk.CHECKED:
        found[f"check {kind}"] = _gather(f"check {kind}", ("yes", "no"), each, seed, rng)
    return found


def _gather(
    kind: str, answers: Sequence[str], each: int, seed: int, rng: np.random.Generator
) -> list[Question]:
    """Go through scenes, asking each for an answer that is still wanted."""
    number = [*talk.ASKED, *(f"check {name}" for name in talk.CHECKED)].index(kind)
    count = 1 if kind == "position" else None
    wanted = {answer: each // len(answers) for answer in answers}
    found: list[Question] = []
    index = 1_000_000 * number
    while any(wanted.values()):
        scene = sample(index, seed=seed, count=count)
        index += 1
        for answer in sorted(wanted, key=lambda name: -wanted[name]):
            if not wanted[answer]:
                continue
            if kind.startswith("check "):
                turn = talk.check(scene, kind[6:], rng, yes=answer == "yes")
            else:
                turn = talk.ask(scene, kind, rng, value=answer)
            if turn is not None:
                found.append(Question(scene, turn))
                wanted[answer] -= 1
                break
    return found


def right(asked: Sequence[Question], said: Sequence[str]) -> float:
    """Share of the answers that are the true one, to the letter."""
    return float(np.mean([q.turn.answer == s for q, s in zip(asked, said, strict=True)]))


def majority(asked: Sequence[Question]) -> float:
    """Share that the commonest answer gets right."""
    return Counter(question.turn.answer for question in asked).most_common(1)[0][1] / len(asked)


def captions(scenes: Sequence[Scene], said: Sequence[str]) -> dict[str, float]:
    """How right captions are.

    Args:
        scenes: what was shown.
        said: what was said of each.

    Returns:
        attribute -> share of its cases that are right, as `talk.grade` counts them; "all of it":
        share of the captions in which everything is right; "well-formed": share that have the form
        of a caption.
    """
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    whole = 0
    for scene, text in zip(scenes, said, strict=True):
        grades = talk.grade(text, scene)
        whole += text == caption(scene)
        for attribute, (good, cases) in grades.items():
            sums[attribute][0] += good
            sums[attribute][1] += cases
    shares = {name: good / cases for name, (good, cases) in sums.items() if cases}
    formed = float(np.mean([talk.is_well_formed(text) for text in said]))
    return shares | {"all of it": whole / len(scenes), "well-formed": formed}


def caption_majority(scenes: Sequence[Scene]) -> dict[str, float]:
    """The share of each attribute's cases that its commonest value gets right."""
    seen: Mapping[str, Counter[str]] = defaultdict(Counter)
    for scene in scenes:
        for attribute, values in talk.named(caption(scene)).items():
            seen[attribute].update(values)
    return {name: max(count.values()) / count.total() for name, count in seen.items() if count}


def true_words(scenes: Sequence[Scene], said: Sequence[str]) -> float:
    """Share of one-word answers that are true of the scene."""
    pairs = zip(scenes, said, strict=True)
    return float(np.mean([word in talk.true_words(scene) for scene, word in pairs]))
