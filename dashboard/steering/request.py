"""What the page Steering is asked for, as its address says it, and what this visit has seen of it.

The address is the one home of a setting: widgets show what it says and write into it when they are
used, so that every setting has a link and the browser's Back works.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard import address, gate
from dashboard.bundle.opening import Run
from dashboard.records.dictionaries import Dictionary
from dashboard.records.features import Card, Key
from dashboard.steering import direction_names
from dashboard.style import markdown

MODES = {"clamp": "Clamp", "add": "Add", "scale": "Scale", "ablate": "Ablate"}
SCOPES = {"image": "Image", "all": "All", "prompt": "Prompt", "generated": "Generated"}
FORMS = {"delta": "Keep the rest", "replace": "Replace"}
BLANK = "blank"
"""In place of an image's number: a picture of nothing."""
PROMPT = "Describe the image."
MOST_FEATURES, MOST_STRENGTH, MOST_LETTERS = 8, 1000.0, 2000
SHARES = tuple(i / 8 for i in range(9))
"""Of the setting's strengths, in a sweep of what is said: the last is the setting itself."""
USUAL = 3.0
"""Strength of a feature of which nothing else is said: times its largest activation
(docs/findings.md says what others do)."""


@dataclass(frozen=True)
class Asked:
    """A setting as the page takes it.

    Attributes:
        at: strengths, one a feature: times its largest activation over the val images; of scale a
            factor.
        concept: words of the prompt-only baseline; None: the first feature's label.
        random: seed of what chance decides.
        example: an image of the run.
        along: a direction (see `toward`); empty for none.
        model: of the run; where it is not given, the first feature's.
    """

    features: tuple[Key, ...] = ()
    at: tuple[float, ...] = ()
    mode: str = "clamp"
    scope: str = "image"
    form: str = "delta"
    prompt: str = PROMPT
    concept: str | None = None
    longest: int = 64
    temperature: float = 0.0
    random: int = 0
    example: int | None = None
    blank: bool = False
    along: str = ""
    model: str = ""

    @property
    def edits(self) -> bool:
        """Whether anything is steered."""
        return bool(self.features or self.along)

    @property
    def strong(self) -> bool:
        """Whether anything has a strength, so that there is something to sweep."""
        along = direction_names.of_text(self.along)
        turned = self.mode != "ablate" and any(self.at)
        return turned or (
            along is not None and along.kind != "project_out" and bool(along.strength)
        )

    @property
    def axis(self) -> tuple[str, float]:
        """What a sweep counts in, and the setting's own place on it: a feature's strength where it
        stands alone, else the share of all strengths."""
        if len(self.features) != 1 or self.along:
            return "share", 1.0
        return "factor" if self.mode == "scale" else "× max", self.at[0]

    def share(self, share: float) -> "Asked":
        """The same with this share of every strength: signs and ratios stay."""
        along = direction_names.of_text(self.along)
        text = self.along
        if along is not None:
            text = direction_names.as_text(
                dataclasses.replace(along, strength=share * along.strength)
            )
        return dataclasses.replace(self, at=tuple(share * one for one in self.at), along=text)

    @property
    def parameters(self) -> dict[str, str]:
        """The query parameters that say it, but for the features; usual choices are left out."""
        usual = Asked()
        found = {
            name: str(getattr(self, name))
            for name in ("mode", "scope", "form", "prompt", "along", *_NUMBERS)
            if getattr(self, name) != getattr(usual, name)
        }
        if self.model and not self.features:  # these name it
            found["model"] = self.model
        if self.concept is not None:
            found["concept"] = self.concept
        if self.features and any(one != USUAL for one in self.at):
            found["at"] = strengths(self.at)
        if self.blank or self.example is not None:
            found["example"] = BLANK if self.blank else str(self.example)
        return found

    @property
    def address(self) -> str:
        """The page that shows it."""
        return address.to_steering(self.features, **self.parameters)

    def plus(self, key: Key) -> "Asked":
        """The same with one more feature."""
        if key in self.features or len(self.features) >= MOST_FEATURES:
            return self
        at = (*self.at, self.at[-1] if self.at else USUAL)
        return dataclasses.replace(self, features=(*self.features, key), at=at)


_NUMBERS: dict[str, tuple[type, float, float]] = {
    "longest": (int, 1, 256),
    "temperature": (float, 0, 2),
    "random": (int, 0, 2**31 - 1),
}
"""Kind, least and most of each number in the address."""
_CHOICES = {"mode": MODES, "scope": SCOPES, "form": FORMS}


def strengths(at: Sequence[float]) -> str:
    """Strengths as the address has them."""
    return address.BETWEEN.join(f"{one:g}" for one in at)


def read() -> tuple[Asked, list[str]]:
    """What the address asks for, and a line on each part of it that cannot be: those are left at
    what is usual."""
    given, bad = st.query_params, []
    found: dict[str, Any] = {}
    for name, known in _CHOICES.items():
        if (text := given.get(name)) in known:
            found[name] = text
        elif text is not None:
            bad.append(f"{name} is {text[:40]!r}: one of {', '.join(known)}")
    for name, (kind, least, most) in _NUMBERS.items():
        if name in given:
            value = _number(given[name], kind)
            if value is None or not least <= value <= most:
                bad.append(f"{name} is {given[name][:40]!r}: a number from {least:,} to {most:,}")
            else:
                found[name] = value
    for name, most_letters in (("prompt", MOST_LETTERS), ("concept", 200), ("along", 4000)):
        if name in given:
            found[name] = given[name][:most_letters]
            if len(given[name]) > most_letters:
                bad.append(f"{name} is longer than {most_letters:,} letters: its beginning is kept")
    found["model"] = given.get("model", "")
    example = given.get("example")
    found["blank"], found["example"] = example == BLANK, address.asked_number("example")
    if example is not None and not found["blank"] and found["example"] is None:
        bad.append(f"example is {example[:40]!r}: the number of an image, or {BLANK}")
    named = address.named_features()
    bad += [f"features name {text[:80]!r}: DICTIONARY:NUMBER" for text, key in named if not key]
    places: dict[Key, int] = {}
    for place, (_, key) in enumerate(named):
        if key is not None:
            places.setdefault(key, place)
    if len(places) > MOST_FEATURES:
        bad.append(f"{len(places)} features: the first {MOST_FEATURES} are kept")
    found["features"] = tuple(places)[:MOST_FEATURES]
    kept = [places[key] for key in found["features"]]
    found["at"] = _strengths(given.get("at", ""), kept, bad)
    return Asked(**found), bad


def steerable(run: Run, every: Sequence[Dictionary], model: str) -> list[Dictionary]:
    """The dictionaries of a model whose features can be steered: SAEs that the bundle holds."""
    return [
        one
        for one in every
        if one.model == model and one.basis == "sae" and run.bundle.sae(one.dictionary_id).is_dir()
    ]


def known(
    asked: Asked, steerable: Sequence[Dictionary], every: Sequence[Dictionary]
) -> tuple[Asked, list[str]]:
    """The same with those features alone that can be steered, and why others cannot."""
    by_id = {one.dictionary_id: one for one in steerable}
    others = {one.dictionary_id: one for one in every}
    kept, bad = [], []
    for key, strength in zip(asked.features, asked.at, strict=True):
        dictionary_id, number = key
        if dictionary_id not in others:
            bad.append(f"this run has no dictionary {dictionary_id[:200]!r}")
        elif dictionary_id not in by_id:
            one = others[dictionary_id]
            bad.append(f"{one.short} cannot be steered here: {why(asked, one)}")
        elif number >= by_id[dictionary_id].d_sae:
            most = by_id[dictionary_id].d_sae - 1
            bad.append(f"{by_id[dictionary_id].short} has features 0 to {most}, no {number}")
        else:
            kept.append((key, strength))
    features, at = tuple(key for key, _ in kept), tuple(one for _, one in kept)
    return dataclasses.replace(asked, features=features, at=at), bad


def why(asked: Asked, one: Dictionary) -> str:
    """Why a dictionary's features cannot be steered."""
    if one.basis == "neurons":
        return "a neuron is no direction that a dictionary learnt; choose a feature of an SAE"
    if one.model != asked.model:
        return f"it is of the model {one.model}; choose that above"
    return "its SAE is not in the bundle's folder saes/; copy it there"


def put(name: str, value: str | None) -> None:
    """A choice of the visitor's into the address; None takes it out."""
    if value is None:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = value


def bound(name: str, value: Any, *, usual: Any, given: str = "value") -> dict[str, Any]:
    """Key, value and callback of a control that shows what the address says under `name`.

    Args:
        value: what the address says.
        usual: the value that the address leaves out.
        given: as of `state.showing`.
    """
    key = f"steer-{name}"

    def changed() -> None:
        now = st.session_state[key]
        put(name, None if now is None or now == usual else str(now))

    return {"on_change": gate.allowed(changed)} | address.showing(key, value, given=given)


def unit(card: Card | None) -> float:
    """What a feature's strength counts in: its largest activation; 1 of a feature that no val image
    activates."""
    return card.max if card is not None and card.max > 0 else 1.0


def name_of(card: Card, dictionary: Dictionary) -> str:
    return f"{card.label or 'no label'} ({dictionary.short} #{card.feature_id})"


def told(asked: Asked, names: Sequence[str]) -> str:
    """A setting in a line, its features by `names`."""
    if asked.mode == "ablate":
        parts = list(names)
    else:
        sign = "×" if asked.mode == "scale" else "× max"
        parts = [f"{n} {a:g} {sign}" for n, a in zip(names, asked.at, strict=True)]
    along = direction_names.of_text(asked.along)
    if along is not None:
        parts.append(direction_names.told(along))
    what = f"{asked.mode} " if names else ""
    replaced = ", replaced" if asked.form == "replace" and names else ""
    return (
        f"{what}{' and '.join(parts) or 'nothing'}, {SCOPES[asked.scope].lower()} tokens{replaced}"
    )


def warn(lines: Sequence[str]) -> None:
    """What of the address cannot be, in one line."""
    if lines:
        st.warning(markdown.plain(f"Not all of this link can be: {'; '.join(lines)[:800]}."))


def _number(text: str, kind: type) -> Any:
    try:
        value = kind(text)
        return value if math.isfinite(value) else None
    except (ValueError, OverflowError):  # a whole number may be too large to ask
        return None


def _strengths(text: str, places: Sequence[int], bad: list[str]) -> tuple[float, ...]:
    """The strengths at these places of the address's list."""
    parts = text.split(address.BETWEEN) if text else []
    found = []
    for place in places:
        value = _number(parts[place], float) if place < len(parts) else USUAL
        if value is None or abs(value) > MOST_STRENGTH:
            bad.append(
                f"a strength is {parts[place][:40]!r}: from -{MOST_STRENGTH:g} to {MOST_STRENGTH:g}"
            )
            value = USUAL
        found.append(value)
    return tuple(found)
