"""What captions do to a feature, within a report: markup only, every text from data escaped."""

import html
from collections.abc import Sequence

from dashboard.cards.marked_captions import Stretch, marked
from dashboard.exports.pictures import scaled
from dashboard.records.captions import Modality, TopCaption
from dashboard.style import hints, palette
from dashboard.style.numbers import number, percent


def sides(found: Modality | None) -> list[tuple[str, str]]:
    """(name, markup) of how the feature fires on pictures and on words; nothing where no caption
    is read."""
    if found is None:
        return []
    best = ""
    if found.bridge_feature is not None and found.bridge_best is not None:
        best = f"best {found.bridge_best:.3g} with #{found.bridge_feature}"
    shuffled = found.correlation_shuffled
    chance = "" if shuffled is None else f"shuffled {number(shuffled)}"
    return [
        ("image density", percent(found.image_density)),
        ("text density", percent(found.text_density)),
        ("modality score", balance(found.modality_score)),
        ("pair correlation", f"{number(found.correlation)} {_muted(chance)}"),
        ("bridge score", f"{found.bridge:.3g} {_muted(best)}"),
        ("top overlap", percent(found.top_overlap)),
    ]


def balance(score: float | None) -> str:
    """The bar from words to pictures, with its number."""
    if score is None:
        return number(score)
    share = max(0.0, min(1.0, score))
    return (
        f'<span class="meter" style="background:{palette.TEXT}">'
        f'<i style="width:{share:.0%};background:{palette.IMAGE}"></i></span>{number(score)}'
    )


def captions(top: Sequence[TopCaption]) -> str:
    """The top captions, each token on the colour of its activation."""
    if not top:
        return ""
    most = max(one.activation for one in top)
    lines = "".join(_line(one, most) for one in top)
    whole = all(one.token is None for one in top)
    about = hints.ONE_VECTOR_TEXT if whole else f"tokens coloured from 0 to {number(most)}"
    return (
        f'<h3>Top captions</h3><ol class="captions">{lines}</ol>'
        f'<p class="about">{html.escape(about)}</p>'
    )


def _line(one: TopCaption, most: float) -> str:
    made = marked(one)
    dots = ("… " if made.before or made.start else "", " …" if made.after or made.end else "")
    text = "".join(_stretch(part, most) for part in made.shown)
    if made.unread and not dots[1]:
        text += f'<s class="muted">{html.escape(made.unread[:80])}</s>'
    bar = ""
    if one.token is None:
        share = one.activation / most if most > 0 else 0.0
        bar = f'<span class="whole"><i style="width:{share:.0%};{_colour(share)}"></i></span>'
    return (
        f'<li><span class="num muted">{one.rank}</span>'
        f'<span dir="auto">{dots[0]}{text}{dots[1]}{bar}</span>'
        f'<span class="num">{number(one.activation)}</span></li>'
    )


def _stretch(part: Stretch, most: float) -> str:
    text = html.escape(part.text)
    if not part.act:
        return text
    strongest = ' class="strongest"' if part.strongest else ""
    style = _colour(part.act / most if most > 0 else 0.0)
    return f'<mark{strongest} style="{style}" title="activation {part.act:.3f}">{text}</mark>'


def _colour(share: float) -> str:
    """The weaker, the nearer to the page's ground; the style sheet mixes them."""
    share = max(0.0, min(1.0, share))
    red, green, blue = scaled([share])[0]
    return f"--act:rgb({red} {green} {blue});--part:{25 + 75 * share:.0f}%"


def _muted(text: str) -> str:
    return f'<span class="muted">{html.escape(text)}</span>' if text else ""
