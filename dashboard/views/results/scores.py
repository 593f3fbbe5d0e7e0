"""Results: scores held against people, where the two differ, and the features by preference."""

from collections.abc import Sequence

import streamlit as st

from dashboard.bundle.opening import Run
from dashboard.components.grid import grid
from dashboard.components.table import table
from dashboard.page import furniture
from dashboard.study import charts, hints
from dashboard.study import results as study_results
from dashboard.study.charts import ROW, Row, row
from dashboard.style import markdown
from pipeline.study import alone, findings, results, sentences
from pipeline.study.alone import Alone
from pipeline.study.content import Item
from pipeline.study.findings import Findings
from pipeline.study.results import Judged

HIGH = 320
MOST_SCORES, MOST_RANKED, MOST_APART = 16, 24, 6
APART = [
    {"key": "pair", "title": "pair", "kind": "link", "help": "Opens both in Compare."},
    {"key": "people", "title": "people", "kind": "text", "help": "What they prefer."},
    {"key": "score", "title": "score", "kind": "text", "help": "Of x and of y."},
]
OFF = [
    {"key": "pair", "title": "feature", "kind": "link", "help": "Opens it in Compare."},
    {
        "key": "people",
        "title": "people",
        "kind": "text",
        "help": "Mean answer, and rank beside the score's.",
    },
    {"key": "score", "title": "score", "kind": "text", "help": "Of the feature."},
]


def show(run: Run, found: Findings, score: str) -> None:
    """The score against people, every score, and what to look at."""
    pairs = isinstance(found.of, Judged)
    if isinstance(found.of, Judged):
        left, right = st.columns(2, gap="medium")
        with left:
            curve(found, found.of, score)
    with right if pairs else st.container():
        board(found)
    apart(run, found, score)
    if pairs:
        ranking(found)


def curve(found: Findings, of: Judged, score: str) -> None:
    """Agreement against how far the scores of a pair lie apart."""
    name = sentences.called(found, score)
    furniture.section(f"{name} against the majority", f"{hints.AGREEMENT} {hints.DIFFERENCE}")
    steps = findings.steps(of, found.scores[score]) if score in found.scores else []
    if not steps:
        furniture.empty(hints.NOTHING_TOLD)
        return
    st.altair_chart(
        charts.by_difference(steps, score=name), width="stretch", height=HIGH, key="curve",
        alt=f"Agreement of {name} with most people, by the difference of the two scores: "
        + "; ".join(f"{s.low:.3g} to {s.high:.3g}: {sentences.shares(s.agreement)}" for s in steps),
    )  # fmt: skip
    st.caption(hints.DIFFERENCE)


def board(found: Findings) -> None:
    """Every score, the best first."""
    pairs = isinstance(found.of, Judged)
    most = max((told.count for _, told in found.board), default=0)
    known = [
        row(f"{name} (of {told.count:,})" if told.count < most else name, told)
        for name, told in found.board
        if told.known
    ]
    about = hints.BOARD if pairs else hints.BOARD_ALONE
    furniture.section("Every score", about)
    if not known:
        furniture.empty("No score can be held against people yet.")
        return
    title = "agreement with most people" if pairs else "rank correlation with people"
    shown = known[:MOST_SCORES]
    st.altair_chart(
        charts.board(shown, title=title, chance=0.5 if pairs else 0.0, shares=pairs),
        width="stretch", height=max(120, ROW * len(shown) + 50), key="board",
        alt=f"{title}, score by score: "
        + "; ".join(f"{one.name} {_told(one, pairs)}" for one in shown),
    )  # fmt: skip
    more = f" The first {MOST_SCORES} of {len(known)}." if len(known) > MOST_SCORES else ""
    st.caption(about + more)


def _told(one: Row, pairs: bool) -> str:
    return sentences.whole(one.value) if pairs else f"{one.value:.2f}"


def apart(run: Run, found: Findings, score: str) -> None:
    """Where people and the score differ most, with the images that people saw."""
    pairs = isinstance(found.of, Judged)
    about = hints.APART if pairs else hints.APART_ALONE
    name = sentences.called(found, score)
    furniture.section(f"Where people and {name} differ most", about)
    values = found.scores.get(score)
    by_item = {item.item: item for item in found.content.items}
    told: list[tuple[Item, str, str, list[str]]] = []
    if values is not None and isinstance(found.of, Judged):
        for one in results.apart(found.of, values, most=MOST_APART):
            item = by_item[one.item]
            x, y = (float(values[side.feature]) for side in item.sides if side.feature is not None)
            likes = "x" if one.preference > 0.5 else "y"
            share = max(one.preference, 1 - one.preference)
            whom = f"{sentences.whole(share)} prefer {likes}, of {one.votes} vote" + "s" * (
                one.votes != 1
            )
            shares = (one.preference, 1 - one.preference)
            notes = [
                f"{side}: people {sentences.whole(share)}, {name} {value:.3g}"
                for side, share, value in zip("xy", shares, (x, y), strict=True)
            ]
            told.append((item, whom, f"{x:.3g} and {y:.3g}", notes))
    elif values is not None and isinstance(found.of, Alone):
        for off in alone.apart(found.of, values, most=MOST_APART):
            rank = "a higher rank" if off.gap > 0 else "a lower rank"
            mean = sentences.whole(off.mean) if found.of.chance < 1 else f"{off.mean:.2f}"
            whom = f"{mean} in {off.votes} vote" + "s" * (off.votes != 1)
            note = f"people {mean}, {name} {off.score:.3g}"
            told.append((by_item[off.item], f"{whom}: {rank}", f"{off.score:.3g}", [note]))
    if not told:
        known = any(name == score and one.known for name, one in found.board)
        furniture.empty(hints.NOTHING_APART if known else hints.NOTHING_TOLD)
        return
    differing(run, found, told, APART if pairs else OFF)


def differing(
    run: Run,
    found: Findings,
    told: Sequence[tuple[Item, str, str, list[str]]],
    columns: list[dict[str, str]],
) -> None:
    """A table of what differs, and its images."""
    content, keys = found.content, study_results.here(run, found.content)
    rows = [
        {
            "pair": " · ".join(study_results.named(content, side.feature) for side in item.sides),
            "href": study_results.to_compare(keys, item), "people": people, "score": scores,
            "first": False,
        }
        for item, people, scores, _ in told
    ]  # fmt: skip
    table(columns, rows, key="apart")
    cards = study_results.cards(run, content, [one[0] for one in told], [one[3] for one in told])
    shown = [made for made in cards if made]
    if not shown:
        st.caption(markdown.plain(hints.NO_IMAGES.format(bundle=content.study.bundle)))
        return
    if len(shown[0]) == 1:
        single = [one for made in shown for one in made]
        grid(single, tiles=study_results.TILES, said="", page=1, pages=1, of="", key="apart-alone")
        return
    with st.container(key="apart-pairs"):
        for number in range(0, len(shown), 3):
            places = st.columns(3, gap="medium")
            for place, made in zip(places, shown[number : number + 3], strict=False):
                with place:
                    grid(made, tiles=study_results.TILES, said="", page=1, pages=1, of="",
                         key=f"apart-{made[0]['key']}-{made[-1]['key']}")  # fmt: skip


def ranking(found: Findings) -> None:
    """The features by what people prefer: the first and the last."""
    furniture.section("Features by what people prefer", hints.RANKING)
    if found.ranking is None:
        count = len(found.content.features)
        furniture.empty(hints.TOO_MANY.format(count=count))
        return
    judged = {int(place) for place in found.of.features.ravel()}
    every = [
        Row(study_results.named(found.content, place), strength, low, high, judged_in(found, place))
        for place, strength, low, high in findings.best(found, most=len(found.content.features))
        if place in judged
    ]
    half = MOST_RANKED // 2
    few = len(every) <= MOST_RANKED
    parts = [every[: (len(every) + 1) // 2], every[(len(every) + 1) // 2 :]]
    titles = ["Upper half", "Lower half"]
    if not few:
        parts, titles = [every[:half], every[-half:]], [f"The first {half}", f"The last {half}"]
    reach = (min(one.low for one in every), max(one.high for one in every))
    for place, rows, title in zip(st.columns(2, gap="medium"), parts, titles, strict=True):
        with place:
            if rows:
                st.altair_chart(
                    charts.forest(rows, reach=reach), width="stretch",
                    height=ROW * len(parts[0]) + 60, key=f"forest-{title}",
                    alt=f"{title} of the features by strength: "
                    + "; ".join(f"{one.name} {one.value:+.2f}" for one in rows),
                )  # fmt: skip
                st.caption(f"{title} of {len(every):,} features.")
    st.caption(markdown.plain(" ".join(filter(None, (sentences.connected(found), hints.RANKING)))))


def judged_in(found: Findings, place: int) -> int:
    """In how many pairs a feature was judged."""
    return int((found.of.features == place).any(-1).sum())
