"""The command line: `python -m pipeline --help`. Everything heavy is imported when it is used."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import one_line_errors
from pipeline.study import cli as study

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.config import RunConfig
    from pipeline.run.engine import Worker
    from pipeline.run.plan import Plan
    from pipeline.run.workspace import Workspace

app = typer.Typer(
    help="Loupe's pipeline: from a model, images and dictionaries to a bundle to browse.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(study.app, name="study")

Config = Annotated[Path, typer.Argument(help="TOML file of a run, as pipeline/configs/demo.toml")]
Out = Annotated[Path | None, typer.Option(help="Folder of the run; data/runs/NAME if not given")]


@app.command()
def run(
    config: Config,
    out: Out = None,
    check: Annotated[
        bool,
        typer.Option(help="Read all that is done, not only what has another time or size"),
    ] = False,
    verbose: Annotated[bool, typer.Option(help="Log each unit of work")] = False,
) -> None:
    """Run all steps of CONFIG; what is done already is not done again, unless it is damaged."""
    from pipeline import preflight
    from pipeline.run import engine
    from pipeline.run.progress import Bars
    from pipeline.run.workspace import Workspace

    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")
    with one_line_errors():
        bars = Bars()
        settings, plans = _planned(config, tell=bars.tell)
        workspace = Workspace(out or _home(settings), closely=check)
        for note in preflight.check(settings, plans, workspace):
            typer.echo(note, err=True)
        with bars:
            engine.execute(plans, worker_of(settings, workspace), workspace=workspace, watcher=bars)
        bars.summary(workspace)


@app.command()
def status(config: Config, out: Out = None) -> None:
    """Say of each step whether it is done, missing, partial or stale, and why."""
    from pipeline.run import engine
    from pipeline.run.workspace import Workspace

    with one_line_errors():
        settings, plans = _planned(config, tell=_echo)
        workspace = Workspace(out or _home(settings))
        for plan in plans.values():
            what, why = engine.state(plan, workspace)
            typer.echo(f"{plan.step:8} {what:8} {why}")


@app.command()
def verify(
    bundle: Annotated[Path, typer.Argument(help="Folder of a run or of a bundle")],
) -> None:
    """Check every file of BUNDLE against its hash and the contract; exit with 1 on a fault."""
    from pipeline import contract
    from pipeline.bundle import opening
    from pipeline.bundle.verify import faults
    from pipeline.contract.tables import TABLES

    with one_line_errors():
        found = list(faults(bundle))
        listed = opening.open_bundle(bundle).files is not None
    for fault in found:
        typer.echo(fault)
    if not listed:
        typer.echo(
            "hashes of its files are not recorded, since an earlier Loupe made it: other bytes "
            "that fit the contract are not found"
        )
    if found:
        typer.echo("a run's bundle is mended by: python -m pipeline run CONFIG --check", err=True)
        raise typer.Exit(1)
    typer.echo(f"{bundle}: sound ({len(TABLES)} tables, contract {contract.VERSION})")


@app.command()
def hooks(config: Config) -> None:
    """List the hook points of CONFIG's models with their shapes; * marks those that a dictionary
    reads.

    Needs each model's configuration and processor, not its weights.
    """
    from pipeline import config as settings
    from pipeline import models, preflight
    from pipeline.run import plan

    with one_line_errors():
        run = settings.load(config)
        preflight.refuse_unknown(run.models)
        for name, model in run.models.items():
            adapter = models.load(model, device="meta")
            typer.echo(f"{name}: {model.id}")
            read = {adapter.resolve(place.hook).name for place in plan.places(run, model=name)}
            for point in adapter.hook_points.values():
                typer.echo(f" {'*' if point.name in read else ' '} {point}")


@app.command()
def steer(
    config: Annotated[
        Path, typer.Argument(help="TOML file of a finished run, or the folder of its bundle")
    ],
    image: Annotated[
        list[str] | None,
        typer.Option(help="File, number or uri of an example, or blank; may be repeated"),
    ] = None,
    prompt: Annotated[str, typer.Option(help="What is asked")] = "Describe the image.",
    feature: Annotated[
        list[str] | None,
        typer.Option(
            help="DICTIONARY:FEATURE=STRENGTH, as sight:112=2x: twice its largest activation"
        ),
    ] = None,
    direction: Annotated[
        list[str] | None,
        typer.Option(help="HOOK:add:FILE=LENGTH, HOOK:move:FROM:TO=SHARE, HOOK:project_out:FILE"),
    ] = None,
    mode: Annotated[str, typer.Option(help="clamp, add, scale or ablate")] = "clamp",
    scope: Annotated[str, typer.Option(help="image, prompt, generated or all tokens")] = "image",
    replace: Annotated[
        bool, typer.Option(help="Put the SAE's reconstruction in the activations' place")
    ] = False,
    concept: Annotated[str, typer.Option(help="What a prompt asks for in words, beside it")] = "",
    sweep: Annotated[
        str, typer.Option(help="FROM:TO:STEPS, as 0:4x:9: these strengths of all features")
    ] = "",
    longest: Annotated[int, typer.Option(help="Tokens of an answer at most")] = 64,
    temperature: Annotated[float, typer.Option(help="0: the likeliest token each time")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of what is drawn by chance")] = 0,
    model: Annotated[str | None, typer.Option(help="Its name, where the run has several")] = None,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print records, not tables")] = False,
) -> None:
    """Ask CONFIG's model about images, unsteered and with features turned up, side by side."""
    with one_line_errors():
        from pipeline.steer_command import command
        from pipeline.steer_command.request import BLANK, Request

        more = {
            "prompt": prompt, "mode": mode, "scope": scope, "concept": concept,
            "form": "replace" if replace else "delta", "longest": longest,
            "temperature": temperature, "seed": seed,
        }  # fmt: skip
        asked = Request(
            config, out, model, image or [BLANK], feature or (), direction or (), sweep, more
        )
        command.steer(asked, as_json=as_json, echo=typer.echo)


@app.command()
def fit_projector(
    config: Annotated[Path, typer.Argument(help="TOML file, as configs/clip-gemma-projector.toml")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; data/projectors/NAME if not given")
    ] = None,
    verbose: Annotated[bool, typer.Option(help="Log what is left out")] = False,
) -> None:
    """Train CLIP-Gemma's projector; run it again to go on where it was stopped."""
    from pipeline import config as settings
    from pipeline.run.progress import FitBar

    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")
    with one_line_errors():
        chosen = settings.load(config, settings.FitProjector)
        folder = out or Path("data/projectors") / chosen.name
        from pipeline.projector.files import PROJECTOR
        from pipeline.projector.fit import fit  # after the config: it is heavy

        with FitBar() as bar:
            trained = fit(chosen, folder, watcher=bar)
        typer.echo(f"{'projector' if trained else 'done before'}: {folder / PROJECTOR}")


@app.command()
def docs(
    path: Annotated[Path, typer.Argument(help="File to write")] = Path("docs/data-dictionary.md"),
) -> None:
    """Write the data dictionary from the contract."""
    from pipeline.contract.tables import as_markdown

    with one_line_errors():
        path.write_text(as_markdown(), encoding="utf-8")


def _planned(path: Path, *, tell: Callable[[list[str]], None]) -> tuple[RunConfig, dict[str, Plan]]:
    """The config and what its run consists of; `tell` gets what is to be said of the inputs."""
    from pipeline import config, preflight
    from pipeline.inputs import listing, readers
    from pipeline.run import plan

    settings = config.load(path)
    preflight.refuse_unknown_data(settings.examples.source)
    reader = readers.reader(settings.examples.source)
    found = listing.listing(settings.examples, source=reader)
    tell(reader.notes)
    return settings, plan.plans(settings, found)


def _echo(notes: list[str]) -> None:
    for note in notes:
        typer.echo(note, err=True)


def worker_of(settings: RunConfig, workspace: Workspace) -> Callable[[str], Worker]:
    """Gives the worker of a step of this run; imports the step when it is asked for."""

    def worker(step: str) -> Worker:
        made: Worker = importlib.import_module(f"pipeline.steps.{step}").Worker(settings, workspace)
        return made

    return worker


def _home(settings: RunConfig) -> Path:
    return Path("data/runs") / settings.name


if __name__ == "__main__":
    app()
