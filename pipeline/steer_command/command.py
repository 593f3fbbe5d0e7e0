"""`python -m pipeline steer`: from the request to what is printed."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from rich.console import Console

from pipeline.inputs.pictures import Unreadable
from pipeline.interventions import InterventionError, as_record
from pipeline.interventions.record import document, shows_of
from pipeline.interventions.setting import STEERED
from pipeline.steer_command import request, tables
from pipeline.steer_command.trials import Studied, Trial


def steer(asked: request.Request, *, as_json: bool, echo: Callable[[str], None]) -> None:
    """Ask about every picture and print what was said.

    Args:
        as_json: one document, {"records": [...], "skipped": {image: reason}}, in place of tables.
        echo: prints a line.

    Raises:
        InterventionError, ConfigError, StoreError, ModelError, SAEError: what cannot be, in one
            line.
    """
    home = request.Home(asked.config, asked.out)
    base = request.setting(asked, home)
    if not base.features and not base.directions:
        raise InterventionError("nothing to steer: give --feature or --direction")
    steps = request.sweep(asked.sweep) if asked.sweep else []
    settings = request.swept(base, home, steps) if steps else [base]
    notes, screen = Console(stderr=True, highlight=False, soft_wrap=True), Console(highlight=False)
    pictures, skipped = _pictures(home, asked.images)
    for name, reason in skipped.items():
        notes.print(f"skipped {name}: {reason}", markup=False)
    if not pictures:
        raise InterventionError("no picture is left to ask about; name others by --image")
    studied = Studied(home, base, model=asked.model)
    if studied.changed:
        notes.print("note: the model has changed since the bundle was made; run the pipeline again")
    records: list[dict[str, object]] = []
    with notes.status("asking …") as status:
        for trials in studied.trials(
            settings, pictures, heard=lambda tokens: status.update(f"{tokens} tokens said")
        ):
            texts = [trial.answers[STEERED].text for trial in trials]
            cosines = studied.shows(base, texts) if steps else None
            if as_json:
                records += _records(studied, trials, cosines)
            else:
                _print(screen, trials, [step.shown for step in steps], cosines)
            if all(trial.silent for trial in trials):
                notes.print(
                    f"note: {trials[0].picture.uri}: the edit changed nothing: the model does not "
                    "read this hook point, or the features are as the edit asks already",
                    markup=False,
                )
    if as_json:
        echo(document(records, skipped))


def _records(
    studied: Studied, trials: Sequence[Trial], cosines: Float[np.ndarray, "f n"] | None
) -> list[dict[str, object]]:
    made = []
    for place, trial in enumerate(trials):
        facts = studied.facts(trial)
        if cosines is not None and studied.shown_by:
            shown = zip(trial.setting.features, cosines[:, place].tolist(), strict=True)
            facts["shows"] = shows_of(studied.shown_by, {one.name: of for one, of in shown})
        made.append(as_record(trial.setting, trial.answers, **facts))
    return made


def _print(
    screen: Console,
    trials: Sequence[Trial],
    strengths: Sequence[str],
    cosines: Float[np.ndarray, "f n"] | None,
) -> None:
    marks, first = not screen.is_terminal, trials[0]
    screen.print(tables.heading(first.setting, first.picture.uri), markup=False, soft_wrap=True)
    if not strengths:
        tables.printed(screen, tables.ways_table(first, marks=marks))
        return
    tables.printed(screen, tables.sweep_table(trials, strengths, cosines, marks=marks))


def _pictures(
    home: request.Home, names: Sequence[str]
) -> tuple[list[request.Picture], dict[str, str]]:
    """Those that can be read, and of the others the reason why not."""
    found, skipped = [], {}
    for name in names:
        try:
            found.append(home.picture(name))
        except Unreadable as error:
            skipped[name] = str(error)
    return found, skipped
