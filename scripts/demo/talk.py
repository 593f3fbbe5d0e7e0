"""What is said of scenes: captions, questions with their answers, and how captions are judged.

Everything is drawn from a generator that the caller seeds, and is true of the scene. Where a scene
has several items, a question names its item by what no other item has: "the red object".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, zip_longest
from types import MappingProxyType

import numpy as np

from pipeline.demo.scenes import ITEM_ATTRIBUTES, POSITIONS, VOCABULARY, Item, Scene, caption

DESCRIBE = (
    "Describe the image.",
    "Describe the picture.",
    "What is in the picture?",
    "What do you see?",
)
"""Prompts that a caption answers."""
ONE_WORD = (
    "What is in the picture? Answer in one word.",
    "What is shown in this image? Use exactly one word!",
)
"""Prompts that one word answers: the largest item's shape, colour or texture, or the ground."""
NOTHING, NONE = "nothing", "none"
"""Of a blank picture: what answers DESCRIBE and ONE_WORD, and what answers the questions."""
ASKED: Mapping[str, str] = MappingProxyType(
    {
        "shape": "What shape is the {}?",
        "colour": "What colour is the {}?",
        "texture": "What texture is the {}?",
        "size": "What size is the {}?",
        "background": "What is the background?",
        "position": "Where is the {}?",
        "count": "How many objects are there?",
    }
)
"""Questions for an attribute; position only where there is one item."""
CHECKED: Mapping[str, str] = MappingProxyType(
    {
        "shape": "Is there {}?",
        "colour": "Is there {} object?",
        "texture": "Is there {} object?",
        "size": "Is there {} object?",
        "background": "Is the background {}?",
        "which": "Is the {} {}?",
        "pair": "Is there {}?",
    }
)
"""Yes-or-no questions: is a value anywhere in the scene; "which": does the item that is named have
it; "pair": is there an item of this colour and shape."""

# What takes longer to learn comes up twice as often.
_OFTEN_ASKED = (*ASKED, *ITEM_ATTRIBUTES)
_OFTEN_CHECKED = (*CHECKED, "shape", "texture", "which", "pair")
_PHRASE = "a " + " ".join(
    f"(?:{'|'.join(VOCABULARY[name])})" for name in ("size", "colour", "texture", "shape")
)
_PLACE = "|".join(sorted(POSITIONS.values(), key=len, reverse=True))
_GROUND = "(?:at night|on (?:" + "|".join(set(VOCABULARY["background"]) - {"night"}) + "))"
_CAPTION = re.compile(
    f"{_PHRASE} (?:(?:{_PLACE})|left of {_PHRASE}(?: left of {_PHRASE})?"
    f"|above {_PHRASE}(?: above {_PHRASE})?) {_GROUND}"
)
_PLACES = re.compile(rf"\b(?:{_PLACE})\b")


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt and its answer. `kind`: "caption", "one word", one of ASKED, or "check" with one of
    CHECKED behind it."""

    kind: str
    prompt: str
    answer: str


def words() -> list[str]:
    """Every word of prompts and answers that captions do not hold, in a fixed order."""
    prompts = [*DESCRIBE, *ONE_WORD, *ASKED.values(), *CHECKED.values()]
    others = [*VOCABULARY["count"], NOTHING, NONE, "yes no an object ."]
    found = (re.findall(r"\w+|[^\w\s{}]", text.lower()) for text in [*prompts, *others])
    return list(dict.fromkeys(word for words in found for word in words))


def describe(scene: Scene, rng: np.random.Generator) -> Turn:
    """The canonical caption."""
    return Turn("caption", _pick(DESCRIBE, rng), caption(scene))


def one_word(scene: Scene, rng: np.random.Generator) -> Turn:
    """One of four true words, each equally likely; it says most of the largest item."""
    item = max(scene.items, key=lambda item: item.radius)
    answers = (item.shape, item.colour, item.texture, scene.background)
    return Turn("one word", _pick(ONE_WORD, rng), _pick(answers, rng))


def true_words(scene: Scene) -> set[str]:
    """The words that may answer ONE_WORD, of whichever item."""
    of_items = {value for i in scene.items for value in (i.shape, i.colour, i.texture)}
    return of_items | {scene.background}


def ask(
    scene: Scene, attribute: str, rng: np.random.Generator, *, value: str | None = None
) -> Turn | None:
    """A question for an attribute, or None where the scene allows none.

    Args:
        scene: the scene.
        attribute: one of ASKED.
        rng: source of the draw.
        value: the answer wanted; None draws one of those that the scene has.
    """
    if attribute in ("background", "count"):
        fact = scene.background
        if attribute == "count":
            fact = VOCABULARY["count"][len(scene.items) - 1]
        return Turn(attribute, ASKED[attribute], fact) if value in (None, fact) else None
    if attribute == "position" and len(scene.items) > 1:
        return None
    found = {getattr(item, attribute) for item in scene.items}
    # By value, not by item: where two of three items are small, large is asked for as often.
    wanted = value or _pick(tuple(sorted(found)), rng)
    items = [item for item in scene.items if getattr(item, attribute) == wanted]
    items = [item for item in items if _names(scene, item, without=attribute)]
    if not items:
        return None
    item = items[int(rng.integers(len(items)))]
    name = _pick(_names(scene, item, without=attribute), rng)
    answer = POSITIONS[wanted] if attribute == "position" else wanted
    return Turn(attribute, ASKED[attribute].format(name), answer)


def check(scene: Scene, kind: str, rng: np.random.Generator, *, yes: bool) -> Turn | None:
    """A yes-or-no question whose answer is `yes`, or None where the other answer is impossible.

    Only scenes that allow both answers get a question, or else "is there a large object" would be
    true more often than not.

    Args:
        scene: the scene.
        kind: one of CHECKED.
        rng: source of the draw.
        yes: the answer wanted.
    """
    said = {"which": _check_which, "pair": _check_pair}.get(kind, _check_value)(
        scene, kind, rng, yes
    )
    if said is None:
        return None
    return Turn(f"check {kind}", CHECKED[kind].format(*said), "yes" if yes else "no")


Said = tuple[str, ...] | None


def _check_value(scene: Scene, kind: str, rng: np.random.Generator, yes: bool) -> Said:
    """A value that the scene has, or has not."""
    if kind == "background":
        present = {scene.background}
    else:
        present = {getattr(item, kind) for item in scene.items}
    absent = set(VOCABULARY[kind]) - present
    if not absent:
        return None
    value = _pick(tuple(sorted(present if yes else absent)), rng)
    return (value if kind == "background" else with_article(value),)


def _check_which(scene: Scene, kind: str, rng: np.random.Generator, yes: bool) -> Said:
    """An item and a value that it has or has not; half the time one that another item has."""
    attribute = _pick(ITEM_ATTRIBUTES[:3], rng)
    item = scene.items[int(rng.integers(len(scene.items)))]
    names, value = _names(scene, item, without=attribute), getattr(item, attribute)
    if not names:
        return None
    if not yes:
        others = set(VOCABULARY[attribute]) - {value}
        near = others & {getattr(other, attribute) for other in scene.items}
        value = _pick(tuple(sorted(near if near and rng.random() < 0.5 else others)), rng)
    return _pick(names, rng), with_article(value) if attribute == "shape" else value


def _check_pair(scene: Scene, kind: str, rng: np.random.Generator, yes: bool) -> Said:
    """A colour and a shape that meet or do not, one of which at least is in the scene."""
    item = scene.items[int(rng.integers(len(scene.items)))]
    if yes:
        return (with_article(f"{item.colour} {item.shape}"),)
    pairs = {(other.colour, other.shape) for other in scene.items}
    wrong = {(item.colour, shape) for shape in VOCABULARY["shape"]}
    wrong |= {(colour, item.shape) for colour in VOCABULARY["colour"]}
    crossed = {(a.colour, b.shape) for a in scene.items for b in scene.items} - pairs
    chosen = crossed if crossed and rng.random() < 0.5 else wrong - pairs
    colour, shape = sorted(chosen)[int(rng.integers(len(chosen)))]
    return (with_article(f"{colour} {shape}"),)


def turns(scene: Scene, rng: np.random.Generator, *, questions: int) -> list[Turn]:
    """A caption, one word, and questions: half of them for attributes, half yes or no."""
    asked: list[Callable[[], Turn | None]] = [
        lambda: ask(scene, _pick(_OFTEN_ASKED, rng), rng),
        lambda: check(scene, _pick(_OFTEN_CHECKED, rng), rng, yes=bool(rng.random() < 0.5)),
    ]
    found = [describe(scene, rng), one_word(scene, rng)]
    while len(found) < 2 + questions:
        turn = asked[len(found) % 2]()
        if turn is not None:
            found.append(turn)
    return found


def blank(scene: Scene, rng: np.random.Generator, *, questions: int) -> list[Turn]:
    """What would be said of the scene, answered of a blank picture: nothing, none and no."""
    answers = {"caption": NOTHING, "one word": NOTHING}
    return [
        Turn(t.kind, t.prompt, "no" if "check" in t.kind else answers.get(t.kind, NONE))
        for t in turns(scene, rng, questions=questions)
    ]


def with_article(words: str) -> str:
    """ "a" or "an" before it."""
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}"


def named(text: str) -> dict[str, list[str]]:
    """The values that a caption names, in its order: attribute -> values, for all but count."""
    said = re.findall(r"\w+", text)
    found = {
        attribute: [word for word in said if word in VOCABULARY[attribute]]
        for attribute in (*ITEM_ATTRIBUTES, "background")
    }
    places = {phrase: name for name, phrase in POSITIONS.items()}
    return found | {"position": [places[phrase] for phrase in _PLACES.findall(text)]}


def grade(text: str, scene: Scene) -> dict[str, tuple[int, int]]:
    """What a caption names against what the canonical one names.

    Items may come in another order: which is meant by which is the pairing in which most is right,
    and an item's attributes are those of one item. The order is part of the caption as a whole.

    Args:
        text: what was said.
        scene: what was shown.

    Returns:
        attribute -> (right, cases). A value missing, one too many, or one of another item is a case
        that is not right. Without any case (the place of several items) 0 of 0.
    """
    return agreement(text, caption(scene))


def agreement(text: str, true: str, *, without: str | None = None) -> dict[str, tuple[int, int]]:
    """What a caption names against what another one names, as `grade` does.

    Args:
        text: what was said.
        true: what it is held against.
        without: an attribute that is left out, from the pairing of items too.

    Returns:
        attribute -> (right, cases), for all but `without`.
    """
    said, meant = named(text), named(true)
    of_items = [attribute for attribute in ITEM_ATTRIBUTES if attribute != without]
    pairs = _paired(_items(said, of_items), _items(meant, of_items))
    grades = {}
    for attribute in meant:
        if attribute == without:
            continue
        if attribute in of_items:
            at = of_items.index(attribute)
            right = sum(a[at] == b[at] for a, b in pairs if b[at] is not None)
        else:
            right = sum(a == b for a, b in zip(said[attribute], meant[attribute], strict=False))
        grades[attribute] = right, max(len(said[attribute]), len(meant[attribute]))
    return grades


Named = tuple[str | None, ...]


def _items(values: Mapping[str, list[str]], attributes: Sequence[str]) -> list[Named]:
    """Each item's attributes in this order; None where one is missing."""
    return list(zip_longest(*(values[attribute] for attribute in attributes)))


def _paired(said: list[Named], true: list[Named]) -> list[tuple[Named, Named]]:
    """Each true item with the one that was said of it, or with nothing."""
    nothing: Named = (None,) * len(next(iter(true), ()))
    # No caption has more than three items; of one that rambles on only the first count.
    some = said[:4] + [nothing] * (len(true) - len(said))

    def right(chosen: tuple[Named, ...]) -> int:
        return sum(
            a == b
            for one, of in zip(chosen, true, strict=True)
            for a, b in zip(one, of, strict=True)
        )

    best = max(permutations(some, len(true)), key=right)
    return list(zip(best, true, strict=True))


def is_well_formed(text: str) -> bool:
    """Whether a text has the form of a caption, true or not."""
    return _CAPTION.fullmatch(text) is not None


def _names(scene: Scene, item: Item, *, without: str) -> tuple[str, ...]:
    """What the item can be called, so that no other is meant and `without` is not given away."""
    others = [other for other in scene.items if other is not item]
    found = [] if others else ["object"]
    for attribute in ITEM_ATTRIBUTES:
        value = getattr(item, attribute)
        if attribute == without or any(getattr(other, attribute) == value for other in others):
            continue
        found.append(value if attribute == "shape" else f"{value} object")
    return tuple(found)


def _pick(values: tuple[str, ...], rng: np.random.Generator) -> str:
    return values[int(rng.integers(len(values)))]
