"""A report of chosen features: one HTML file that holds all it shows and asks for nothing.

No script; styles and pictures are inside; a content security policy forbids the rest. Light and
dark follow the reader's system, and it prints. Every text from data is escaped.
"""

import html
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from dashboard.exports.section import anchor, feature_section
from dashboard.records import columns
from dashboard.records.features import Key, Said
from dashboard.records.profile import Profile
from dashboard.style import hints, palette
from dashboard.style.numbers import number
from pipeline.metrics.notices import judged_by_itself

STYLE = Path(__file__).with_name("report.css")
MOST_FEATURES = 200
MOST_BYTES = 48 * 2**20
"""A file that browsers still open quickly, and mail servers refuse: beyond it features are named
and not shown."""
MOST_NAMED = 50
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
TERMS = {
    "feature": hints.FEATURE, "MS": hints.MS, "controls": hints.CONTROLS,
    "density": hints.DENSITY, "label": hints.LABEL, "names found for it": hints.NAMES,
    "percentile": hints.PERCENTILE, "image density": hints.IMAGE_DENSITY,
    "text density": hints.TEXT_DENSITY, "modality score": hints.MODALITY_SCORE,
    "steering score": columns.about("steering_score"),
    "pair correlation": hints.PAIR_CORRELATION, "bridge score": hints.BRIDGE,
    "top overlap": hints.TOP_OVERLAP, "top captions": hints.CAPTIONS,
    "nearest directions": hints.NEAREST, "fires together with": hints.TOGETHER,
    "most correlated": hints.ALIKE, "best match elsewhere": hints.PATH,
}  # fmt: skip

PLAIN = ("n_active", "max", "mean", "group")
"""Columns whose names say what they are."""


def report(
    profiles: Sequence[Profile],
    *,
    manifest: Mapping[str, Any],
    made: datetime,
    asked: Sequence[Key] = (),
    said: Mapping[Key, Sequence[Said]] | None = None,
    most_bytes: int = MOST_BYTES,
) -> bytes:
    """The report of `profiles`, in their order, as UTF-8 HTML.

    Args:
        manifest: the bundle's; its title, key, versions and settings stand at the top.
        made: when the report is made.
        asked: the features that were asked for: those that the report has no room for, or the
            bundle does not hold, are named as left out.
        said: what people said of the features.
        most_bytes: of the sections together; the first one always stands.
    """
    sections: list[str] = []
    shown: list[Profile] = []
    size = 0
    for profile in profiles[:MOST_FEATURES]:
        section = feature_section(profile, (said or {}).get(profile.key, ()))
        size += len(section.encode())
        if shown and size > most_bytes:
            break
        sections.append(section)
        shown.append(profile)
    keys = {p.key for p in shown}
    out = [key for key in dict.fromkeys([*asked, *(p.key for p in profiles)]) if key not in keys]
    title = str(manifest.get("title") or manifest.get("name") or "a run")
    page = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Features of {html.escape(title)}</title>",
        f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>",
        _head(title, manifest, made, shown),
        *map(_note, dict.fromkeys(e for p in shown for e in p.judged_by_itself)),
        _left_out(out),
        _index(shown),
        _bar() if any('class="heat"' in section for section in sections) else "",
        "<main>", *sections, "</main>",
        _terms(),
        "</body>\n</html>\n",
    ]  # fmt: skip
    return "\n".join(part for part in page if part).encode("utf-8", errors="replace")


def _head(title: str, manifest: Mapping[str, Any], made: datetime, shown: Sequence[Profile]) -> str:
    count = f"{len(shown):,} feature" + ("" if len(shown) == 1 else "s")
    facts = {
        "run": manifest.get("name"), "bundle": manifest.get("key"),
        "bundle made": manifest.get("made"), "contract": manifest.get("contract"),
        **_mapping(manifest.get("versions")),
    }  # fmt: skip
    rows = "".join(
        f"<dt>{html.escape(str(name))}</dt><dd>{html.escape(str(value))}</dd>"
        for name, value in facts.items()
        if value is not None
    )
    config = {k: v for k, v in _mapping(manifest.get("config")).items() if k != "machine"}
    settings = html.escape(json.dumps(config, indent=1, ensure_ascii=False, default=str))
    return (
        f"<header><h1>{html.escape(title)}</h1>"
        f'<p class="muted">{count}, report made {made:%d %B %Y, %H:%M} {made.tzname() or ""} '
        "by Loupe</p>"
        f'<details class="settings"><summary>Versions and settings</summary><dl>{rows}</dl>'
        + (f"<pre>{settings}</pre>" if config else "")
        + "</details></header>"
    )


def _note(encoder: str) -> str:
    return f'<p class="left-out"><b>Note.</b> {html.escape(judged_by_itself(encoder))}</p>'


def _left_out(keys: Sequence[Key]) -> str:
    if not keys:
        return ""
    names = ", ".join(f"{name} #{number}" for name, number in keys[:MOST_NAMED])
    more = f" and {len(keys) - MOST_NAMED:,} more" if len(keys) > MOST_NAMED else ""
    return (
        f'<p class="left-out"><b>Left out: {len(keys):,}.</b> A report holds up to {MOST_FEATURES} '
        f"features and {MOST_BYTES // 2**20} MB; these are beyond that, or not in this bundle: "
        f"{html.escape(names)}{more}.</p>"
    )


def _index(shown: Sequence[Profile]) -> str:
    if len(shown) < 2:
        return ""
    lines = "".join(
        f'<li><a href="#{place}">{html.escape(p.name)}</a> '
        f"{html.escape(p.feature.card.label or '')} "
        f'<span class="num muted">MS {number(p.feature.card.ms)}</span></li>'
        for p in shown
        for place in [html.escape(anchor(p))]
    )
    return f'<nav aria-label="Features"><ol class="index">{lines}</ol></nav>'


def _bar() -> str:
    ramp = ", ".join(palette.VIRIDIS)
    return (
        '<div class="bar"><label><input type="checkbox" id="heat" checked>Heat map</label>'
        f'<span class="ramp" style="background: linear-gradient(90deg, {ramp})"></span>'
        '<span class="muted">activation of a patch, from 0 to the feature\'s largest shown</span>'
        "</div>"
    )


def _terms() -> str:
    more = {c.title: c.about for c in columns.reported() if c.name not in PLAIN}
    terms = TERMS | {name: text for name, text in more.items() if name not in TERMS}
    lines = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in terms.items())
    return (
        '<details class="settings"><summary>What the numbers mean</summary>'
        f"<dl>{lines}</dl></details>"
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
