"""What was said, as tables for a terminal."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.interventions import Setting
from pipeline.interventions.setting import JUDGED, RECONSTRUCTION, STEERED, UNSTEERED
from pipeline.metrics.wording import new_words
from pipeline.steer_command.trials import Trial


def ways_table(trial: Trial, *, marks: bool) -> Table:
    """A row a way: its name, the text, its perplexity for the unsteered model, and how many of its
    words are others than the unsteered ones.

    Args:
        marks: whether words that changed stand between asterisks, where colours do not show.
    """
    table = _table("way", "text", "perplexity", "words changed")
    plain = trial.answers[UNSTEERED]
    for name, answer in trial.answers.items():
        if name == JUDGED:
            continue
        # What is edited finds its own words likely: only the unsteered model judges.
        judge = trial.answers[JUDGED] if name == STEERED else answer
        perplexity = "" if name == RECONSTRUCTION else _number(judge.perplexity)
        table.add_row(name, *_told(plain.text, answer.text, perplexity, marks=marks))
    return table


def sweep_table(
    trials: Sequence[Trial],
    labels: Sequence[str],
    cosines: Float[np.ndarray, "f n"] | None,
    *,
    marks: bool,
) -> Table:
    """A row a strength; beside the text how nearly it means what each feature's top images show.

    Args:
        labels: the strengths.
        cosines: of each feature and each trial's steered text, where they are known.
    """
    features = trials[0].setting.features if cosines is not None else ()
    table = _table(
        "strength", "text", "perplexity", "words changed", *(f"shows {f.feature}" for f in features)
    )
    for number, (trial, label) in enumerate(zip(trials, labels, strict=True)):
        perplexity = _number(trial.answers[JUDGED].perplexity)
        before, after = trial.answers[UNSTEERED].text, trial.answers[STEERED].text
        shown = () if cosines is None else [_number(value) for value in cosines[:, number]]
        table.add_row(label, *_told(before, after, perplexity, marks=marks), *shown)
    return table


def heading(setting: Setting, uri: str) -> str:
    """What was asked and edited, in one line."""
    features = [f"{one.dictionary}:{one.feature}" for one in setting.features]
    directions = [f"{one.hook}:{one.kind}:{one.direction}" for one in setting.directions]
    edits = ", ".join([*features, *directions]) or "no edit"
    return f"{uri}  {setting.prompt!r}  {setting.mode} {setting.scope} {setting.form}  {edits}"


def printed(console: Console, table: Table) -> None:
    """The table, at its own width where the output is no terminal that would cut it."""
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)


def _told(before: str, after: str, perplexity: str, *, marks: bool) -> tuple[Text, str, str]:
    words = new_words(before, after)
    text = Text(" ").join(
        Text(f"*{word}*" if new and marks else word, style="bold yellow" if new else "")
        for word, new in words
    )
    changed = sum(new for _, new in words)
    return text, perplexity, f"{changed} of {len(words)}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        wordy = re.fullmatch("way|text", name)
        table.add_column(
            name, justify="left" if wordy else "right", overflow="fold", no_wrap=name != "text"
        )
    return table


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}" if abs(value) < 1000 else f"{value:.1e}"
