"""Overview: what the run holds, how monosemantic its features are, and the way on."""

import streamlit as st

from dashboard import charts, connection, queries, records, state, widgets, words
from dashboard.components.table import table

ABOUT = (
    "A feature is one direction in a model's activations: a number that is high for some images "
    "and zero or low for the rest. Its monosemanticity score (MS) says how alike the images are "
    "that activate it, by the judgement of an independent image encoder. Choose a dictionary below "
    "to browse its features, the most monosemantic first."
)
COLUMNS = [
    {"key": "short", "title": "dictionary", "kind": "link", "help": "Opens it in Browse."},
    {"key": "features", "title": "features", "kind": "number", "help": words.FEATURE},
    {"key": "dead", "title": "dead", "kind": "number", "help": words.DEAD},
    {"key": "l0", "title": "l0", "kind": "number", "help": words.L0},
    {"key": "fvu", "title": "fvu", "kind": "number", "help": words.FVU},
    {"key": "ms", "title": "mean MS", "kind": "meter", "help": words.MS},
    {"key": "over", "title": "over neurons", "kind": "number",
     "help": "Mean MS above that of the raw neurons at the same hook point."},
    {"key": "control", "title": "control", "kind": "number", "help": words.CONTROLS},
]  # fmt: skip


def rows(
    dictionaries: list[records.Dictionary], summaries: list[records.Summary]
) -> list[dict[str, object]]:
    """The table of dictionaries, as the component takes it."""
    colours = charts.dictionary_colours(dictionaries)
    control = {s.dictionary_id: s.control_neuron for s in summaries}
    neurons = {(d.model, d.hook): d.ms for d in dictionaries if d.basis == "neurons"}
    made, before = [], ""
    for d in dictionaries:
        href = state.to_browse(d)
        base = neurons.get((d.model, d.hook))
        sae = d.basis == "sae"
        over = d.ms - base if sae and d.ms is not None and base is not None else None
        made.append(
            {
                "short": d.short, "href": href, "colour": colours[d.name],
                "first": d.hook != before, "features": f"{d.d_sae:,}", "dead": f"{d.dead:,}",
                "l0": widgets.number(d.l0, 1), "fvu": widgets.number(d.fvu, 3),
                "ms": {"value": d.ms, "text": widgets.number(d.ms, 3)},
                "over": "" if over is None else f"{over:+.3f}",
                "control": widgets.number(control.get(d.dictionary_id), 3) if sae else "",
            }
        )  # fmt: skip
        before = d.hook
    return made


run = connection.current()
dictionaries = connection.dictionaries(run.connection, run.key)
summaries = queries.summaries(run.connection)
held = queries.holdings(run.connection)

widgets.heading(run.title, ABOUT)
widgets.figures(
    [
        ("train images", f"{held.train:,}", "SAEs learn from them."),
        ("val images", f"{held.val:,}", "Everything is measured on them."),
        ("models", ", ".join(sorted({d.model for d in dictionaries})), "Models under study."),
        ("dictionaries", f"{len(dictionaries):,}", "SAEs, and the raw neurons as the baseline."),
        ("features", f"{sum(d.d_sae for d in dictionaries):,}", words.FEATURE),
        ("judged by", ", ".join(held.encoders), "Image encoders behind MS, the default first."),
        ("inputs skipped", f"{held.skipped:,}", "Inputs that could not be read."),
    ]
)
wide, narrow = st.columns([2, 1], gap="medium")
with wide:
    widgets.section("MS of features, by hook point", words.MS)
    st.altair_chart(
        charts.ms_by_hook(dictionaries, summaries), width="stretch", height=360,
        alt="Spread of MS by hook point and dictionary; the means are in the table below.",
    )  # fmt: skip
    st.caption(
        "Bar: half of the features; line: 90 %; dot: the mean, with its 95 % interval. "
        "Amber: the mean of the density-matched control, a random neuron kept as sparse."
    )
with narrow:
    widgets.section("Sparsity against error", f"l0: {words.L0} fvu: {words.FVU}")
    if any(d.basis == "sae" for d in dictionaries):
        st.altair_chart(
            charts.l0_fvu(dictionaries), width="stretch", height=360,
            alt="l0 against fvu of every SAE; the numbers are in the table below.",
        )  # fmt: skip
    else:
        widgets.empty(
            "This run has no SAE. Add one to its config: kind = batchtopk, matryoshka or published."
        )
widgets.section("Dictionaries", "A dictionary is a set of features at one hook point.")
table(COLUMNS, rows(dictionaries, summaries), key="dictionaries")
if held.skipped:
    with st.expander(f"{held.skipped:,} inputs skipped, and why"):
        for uri, reason in queries.skipped(run.connection):
            st.text(f"{uri}: {reason}")
