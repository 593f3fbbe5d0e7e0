"""What a model said, for the page: words that changed, tokens and what else was likely."""

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dashboard.steering import answers, hints
from dashboard.steering.history import Experiment
from dashboard.steering.request import Asked
from dashboard.style import palette
from dashboard.style.numbers import number
from pipeline.metrics.wording import new_words, words_changed

if TYPE_CHECKING:
    from dashboard.steering.answers import Answer

NAMES = {
    answers.UNSTEERED: ("Unsteered", hints.UNSTEERED),
    answers.RECONSTRUCTION: ("Reconstruction only", hints.RECONSTRUCTION_ONLY),
    answers.STEERED: ("Steered", hints.STEERED),
    answers.PROMPTED: ("Asked in words", hints.PROMPTED),
}
"""Columns from left to right."""
ODD = 0.01
"""A token that the unsteered model gives less chance than this is marked."""
LIKELY = 6
WORD = re.compile(r"\w+")


def columns(one: Experiment) -> dict[str, Any]:
    """The columns as the component `answers` takes them: as far as the model came."""
    plain = one.answers.get(answers.UNSTEERED)
    judged = one.answers.get(answers.JUDGED)
    made = []
    for name, (title, about) in NAMES.items():
        answer = one.answers.get(name)
        if answer is None:
            continue
        steered = name == answers.STEERED
        judge = judged if steered else None
        tokens = _tokens(answer, plain, judge)
        made.append(
            {
                "name": name, "title": title, "about": about,
                "tokens": tokens, "opens": opens(tokens),
                "facts": _facts(one, answer, judge),
                "ended": answer.ended, "none": "It says nothing." if one.finished else "",
            }
        )  # fmt: skip
    return {
        "columns": made, "likely": LIKELY, "odd": hints.ODD_TOKEN,
        "help": hints.NEXT_TOKENS, "colours": [palette.NEURONS, palette.SAE_SHADES[0]],
        "steered": answers.STEERED, "finished": one.finished,
    }  # fmt: skip


def opens(tokens: Sequence[Mapping[str, Any]]) -> int:
    """The place whose next token says most: the first that the unsteered model would hardly say,
    else where steering moves the chance of what is said most, else the first word that changed."""
    odd = [place for place, one in enumerate(tokens) if one["odd"]]
    gaps = [0.0 if one["found"] is None else abs(one["chance"] - one["found"]) for one in tokens]
    changed = [place for place, one in enumerate(tokens) if one["changed"]]
    if odd or not any(gaps):
        return [*odd, *changed, 0][0]
    return gaps.index(max(gaps))


def streaming(one: Experiment) -> str:
    """The columns as HTML, while they are being said: as the component draws them."""
    if one.sweep:
        return sweep_table(one)
    plain = one.answers.get(answers.UNSTEERED)
    made = {}
    for name in expected(one.asked, one.concept):
        answer = one.answers.get(name)
        against = plain if name != answers.UNSTEERED else None
        made[name] = _marked(answer, against)
    return _drawn(made, '<i class="caret"></i>')


def waiting(asked: Asked, concept: str) -> str:
    """The columns as HTML, before anything is said."""
    return _drawn(dict.fromkeys(expected(asked, concept), ""), "")


def expected(asked: Asked, concept: str) -> list[str]:
    """Which columns there will be."""
    places = [dictionary.rpartition("/")[0] for dictionary in {key[0] for key in asked.features}]
    rebuilds = places and len(set(places)) == len(places)  # as `Setting.rebuilds`
    without = {answers.RECONSTRUCTION: not rebuilds, answers.PROMPTED: not concept}
    return [name for name in NAMES if not without.get(name)]


def same(one: Experiment) -> bool:
    """Whether steering changed nothing at all: not even a chance."""
    return one.answers[answers.STEERED].as_likely_as(one.answers[answers.JUDGED])


def _drawn(said: Mapping[str, str], end: str) -> str:
    sections = "".join(
        f'<section class="{"steered" if name == answers.STEERED else ""}"><h3>{NAMES[name][0]}</h3>'
        f'<p class="said" dir="auto">{text}{end}</p><div class="facts"></div></section>'
        for name, text in said.items()
    )
    return (
        f'<div class="answers"><div class="columns">{sections}</div><div class="next"></div></div>'
    )


def changed_words(text: str, plain: str) -> list[tuple[int, int]]:
    """(start, end) of the words of `text` that `plain` does not have there."""
    spans = zip(_words(text), new_words(plain, text), strict=True)
    return [span for span, (_, new) in spans if new]


def sweep_table(one: Experiment) -> str:
    """What is said at each strength, as HTML: as far as the model came."""
    plain = one.answers.get(answers.UNSTEERED)
    unit, times = one.asked.axis
    heads = [(unit, hints.SWEPT[unit]), ("what is said", hints.STEERED),
             ("words changed", hints.CHANGED_WORDS), ("perplexity", hints.COHERENCE)]  # fmt: skip
    heads += [(name, hints.SHOWS.format(one.shown_by)) for name in one.shows]
    rows = [["unsteered", _marked(plain, None), "", perplexity(plain)]]
    for place, share in enumerate(one.sweep):
        answer = one.answers.get(answers.steered(place))
        changed = (
            "" if answer is None or plain is None else str(words_changed(plain.text, answer.text))
        )
        judged = one.answers.get(answers.judged(place))
        rows.append(
            [f"{share * times + 0.0:.4g}", _marked(answer, plain), changed, perplexity(judged)]
        )
    for values in one.shows.values():
        for row, value in zip(rows, values, strict=False):
            row.append(number(value))
    head = "".join(f'<th title="{html.escape(about)}">{name}</th>' for name, about in heads)
    names = [name for name, _ in heads]
    body = "".join(f"<tr>{''.join(map(_cell, names, row))}</tr>" for row in rows)
    return (
        '<div class="answers"><table class="sweep"><thead><tr>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(name: str, text: str) -> str:
    """A cell, which tells its column's name where the page is narrow."""
    return f'<td data-name="{name}">{text}</td>'


def perplexity(answer: "Answer | None") -> str:
    """Of an answer, short however large; a dash where nothing is said."""
    value = math.nan if answer is None else answer.perplexity
    if value >= 1e6:
        return f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
    return number(value, 0 if value >= 100 else 2)


def _marked(answer: "Answer | None", plain: "Answer | None") -> str:
    """An answer as HTML, the words lit that are not those of `plain`."""
    if answer is None:
        return ""
    made = ""
    for piece, changed in _runs(answer, plain):
        bare = piece.lstrip()
        made += html.escape(piece[: len(piece) - len(bare)])
        made += f"<mark>{html.escape(bare)}</mark>" if changed and bare else html.escape(bare)
    return made


def _words(text: str) -> list[tuple[int, int]]:
    spans, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        spans.append((start, at))
    return spans


def _runs(answer: "Answer", plain: "Answer | None") -> list[tuple[str, bool]]:
    """The pieces, each with whether it is of a word that changed."""
    pieces = [one.piece for one in answer.said]
    if plain is None:
        return [(piece, False) for piece in pieces]
    text, made, at = "".join(pieces), [], 0
    # What is still being said is not compared with what has been said further.
    theirs = plain.text if answer.ended else "".join(p.piece for p in plain.said[: len(pieces) + 8])
    marked = changed_words(text, theirs)
    for piece in pieces:
        lead = len(piece) - len(piece.lstrip())
        start, end = at + lead, at + len(piece)
        made.append((piece, any(a < end and start < b for a, b in marked)))
        at = end
    return made


def _tokens(
    answer: "Answer", plain: "Answer | None", judge: "Answer | None"
) -> list[dict[str, Any]]:
    made = []
    for place, (piece, changed) in enumerate(_runs(answer, None if answer is plain else plain)):
        said = answer.said[place]
        before = judge.said[place] if judge and place < len(judge.said) else None
        made.append(
            {
                "piece": piece, "changed": changed, "chance": _chance(said.chance),
                "likely": _likely(said.likely),
                "before": before and _likely(before.likely),
                "found": before and _chance(before.chance),
                "odd": before is not None and before.chance < ODD,
                "end": answer.ended and place == len(answer.said) - 1,
            }
        )  # fmt: skip
    return made


def _likely(found: Sequence[tuple[str, float]]) -> list[list[Any]]:
    return [[piece, _chance(chance)] for piece, chance in found[:LIKELY]]


def _chance(value: float) -> float:
    return float(f"{value:.3g}")


def _facts(one: Experiment, answer: "Answer", judge: "Answer | None") -> list[dict[str, str]]:
    found = judge or answer
    about = hints.COHERENCE if judge else hints.OWN_PERPLEXITY
    facts = [
        {"name": "perplexity", "text": perplexity(found), "help": about},
        {"name": "tokens", "text": f"{len(answer.said)}", "help": hints.TOKENS_SAID},
    ]
    if judge is not None and one.seconds:
        speed = number(len(answer.said) / one.seconds, 1)
        facts.append({"name": "tokens / s", "text": speed, "help": hints.SPEED})
    return facts


def swept(one: Experiment) -> list[tuple[float, "Answer", "Answer"]]:
    """(strength, what is said, how the unsteered model finds it) of a sweep, as far as it came."""
    _, times = one.asked.axis
    return [
        (share * times, one.answers[answers.steered(place)], one.answers[answers.judged(place)])
        for place, share in enumerate(one.sweep)
        if answers.steered(place) in one.answers
    ]


def names(text: str, labels: Sequence[str]) -> bool:
    """Whether a text names one of the labels, word for word, in any case."""
    return any(_plainly(label) in _plainly(text) for label in labels)


def _plainly(text: str) -> str:
    """The words alone, with a blank around each."""
    return f" {' '.join(re.findall(WORD, text.casefold()))} "
