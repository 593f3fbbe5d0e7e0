"""`python -m pipeline study`: everything heavy is imported when it is used."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import one_line_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.annotations import Annotations
    from pipeline.study.content import Content

app = typer.Typer(
    help="The user study: make one, invite people, see what they say.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="Name of the study")]
Store = Annotated[
    str | None,
    typer.Option("--store", help="Database, a path or URL; LOUPE_ANNOTATIONS if not given"),
]
Url = Annotated[str, typer.Option(help="Address of the dashboard, for links")]
HERE = "http://localhost:8501"


@app.command()
def create(
    file: Annotated[Path, typer.Argument(help="TOML file of a study, as docs/study.md shows")],
    store: Store = None,
    url: Url = HERE,
) -> None:
    """Draw the study of FILE from its bundle, and keep it; prints the owner's link, once."""
    from pipeline import config
    from pipeline.study import creation
    from pipeline.study.files import Study

    with one_line_errors():
        content = creation.create(config.load(file, Study))
    with _opened(store) as kept:
        token = kept.create_study(content.study.name, content.model_dump_json(), content.wanted)
    roles = Counter(item.role for item in content.items)
    typer.echo(
        f"{content.study.name}: {roles['trial']} to judge, {content.study.votes} votes each; "
        f"{roles['practice']} for practice, {roles['catch']} checks"
    )
    typer.echo(f"owner: {_link(url, 'results', study=content.study.name, owner=token)}")
    typer.echo("Keep this link: nothing else opens the study's results, and it is shown only now.")


@app.command()
def invite(
    name: Name,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many people")] = 1,
    store: Store = None,
    url: Url = HERE,
) -> None:
    """Print a link for each person who is to judge."""
    with _opened(store) as kept:
        for _ in range(count):
            typer.echo(_link(url, "annotate", invite=kept.invite(name)))


@app.command()
def status(name: Name, store: Store = None) -> None:
    """How far the study is, and how its annotators did where that can be checked."""
    from pipeline.study import results

    with _opened(store) as kept:
        content, votes = _content(kept, name), kept.votes(name)
    had, wanted = results.progress(content, votes)
    typer.echo(f"{name}: {had} of {wanted} votes")
    for one in results.checked(content, votes):
        time = "" if one.median_ms is None else f", median {one.median_ms / 1000:.1f} s"
        typer.echo(
            f"{_shown(one.annotator)}: {one.votes} votes, "
            f"{one.caught} of {one.catches} checks failed, "
            f"{one.alike} of {one.repeats} repetitions alike, {one.skips} skipped{time}"
        )


@app.command()
def erase(
    name: Name,
    pseudonym: Annotated[str, typer.Argument(help="As `study status` and the export name it")],
    store: Store = None,
) -> None:
    """Remove a person with everything that they answered, for good."""
    from pipeline.study.draw import StudyError

    with _opened(store) as kept:
        _content(kept, name)
        if not kept.erase(name, pseudonym):
            raise StudyError(
                f"{pseudonym[:100]}: nobody of this pseudonym is in {name}; `study status` "
                "names those who answered"
            )
    typer.echo(f"{name}: {pseudonym} and all answers of theirs are erased")


@app.command()
def export(
    name: Name,
    out: Annotated[Path, typer.Option(help="Folder to write")],
    store: Store = None,
) -> None:
    """Write the study's votes by pseudonym, what it consists of, and the benchmark's files."""
    from pipeline.study import exchange

    with _opened(store) as kept:
        content, votes = _content(kept, name), kept.votes(name)
        lacking = exchange.write(content, votes, out)
    typer.echo(f"{out}: {len(votes)} votes")
    if lacking:
        typer.echo(_shown(lacking))


@app.command(name="import")
def take_in(
    path: Annotated[
        Path,
        typer.Argument(
            help="The benchmark's folder or metric_benchmark.tar.gz; a folder that `study export` "
            "wrote; or a CSV of answers to a study"
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the study; an export's own, else benchmark")
    ] = None,
    coding: Annotated[
        str | None, typer.Option(help="How preferences are written: x/y, -1/1, 0/1 or shares")
    ] = None,
    store: Store = None,
    url: Url = HERE,
) -> None:
    """Keep the published benchmark, or one like it, as a study with its votes; a study that was
    exported, whole; or, of a CSV with the columns item, annotator and answer, keep answers to a
    study that were given elsewhere."""
    from pipeline.study import codings, exchange, imported_answers, restored

    with _opened(store) as kept:
        if restored.is_export(path):
            content, token, rows = restored.take_in(kept, path, name=name)
            name = content.study.name
            typer.echo(f"{name}: {len(content.wanted)} to judge, restored with {rows} votes")
        elif path.suffix == ".csv":
            name = name or "benchmark"
            answers = imported_answers.read(path, _content(kept, name))
            pseudonyms = kept.add_votes(name, answers)
            for who, own in answers.items():
                typer.echo(f"{pseudonyms[who]}: {len(own)} answers of {_shown(who)}")
            return
        else:
            name = name or "benchmark"
            how = codings.coding_of(coding)
            content, token, found = exchange.take_in(kept, path, name=name, coding=how)
            read = codings.MEANING[found.coding]
            typer.echo(f"{name}: {len(content.wanted)} pairs, preferences read as {read}")
            if found.rows > len(found):
                typer.echo(f"{found.rows} rows: those about the same pair are taken together")
            scores = ", ".join(found.scores) or "none; they have columns NAME_x and NAME_y"
            typer.echo(_printable(f"scores: {scores}"))
    typer.echo(f"owner: {_link(url, 'results', study=name, owner=token)}")


@app.command()
def outputs(
    records: Annotated[Path, typer.Argument(help="What `steer --json` printed")],
    out: Annotated[Path, typer.Option(help="CSV to write, for draw.file of a study of outputs")],
    way: Annotated[
        list[str] | None, typer.Option(help="An answer to take; unsteered and steered if not given")
    ] = None,
) -> None:
    """Write what a steered model said as the CSV that a study of outputs is made of."""
    from pipeline.study import outputs as texts

    with one_line_errors():
        rows = texts.of_steering(records, ways=way or texts.WAYS)
        texts.write(out, rows)
    groups = ", ".join(dict.fromkeys(row["group"] for row in rows))
    typer.echo(f"{out}: {len(rows)} texts, {_shown(groups)}")


@app.command()
def agree(
    name: Name,
    scores: Annotated[
        list[Path] | None, typer.Option(help="CSV of scores: `feature`, and a column a score")
    ] = None,
    activations: Annotated[
        Path | None,
        typer.Option(help="The benchmark's activations.csv or archive, to compute MS anew"),
    ] = None,
    embeddings: Annotated[
        Path | None, typer.Option(help="Of the same images: .npy or .safetensors, [images, d]")
    ] = None,
    score: Annotated[str, typer.Option(help="The score that the sentences are about")] = "ms",
    failed: Annotated[
        int | None,
        typer.Option(
            min=0, max=100, help="Leave out who failed more than this share of their checks, in %"
        ),
    ] = None,
    store: Store = None,
) -> None:
    """How often each score prefers what most people prefer, and how well people agree."""
    from pipeline.study import exchange, findings, sentences
    from pipeline.study.content import name_of
    from pipeline.study.draw import StudyError

    with _opened(store) as kept:
        if (activations is None) != (embeddings is None):
            raise StudyError("--activations and --embeddings: give both, of the same images")
        content, votes = _content(kept, name), kept.votes(name)
        brought: dict[str, NDArray[np.float64]] = {}
        for file in scores or ():
            _bring(brought, file, exchange.read_scores(file, content))
        if activations is not None and embeddings is not None:
            computed = exchange.recomputed(activations, embeddings, content)
            _bring(brought, activations, computed)
        found = findings.find(content, votes, failed=failed, brought=brought)
        chosen = findings.score_of(found, score)
    typer.echo(f"{name}: {len(found.of.items):,} judged, {found.votes:,} votes")
    for sentence in sentences.of(found, chosen):
        typer.echo(_printable(sentence))
    for one in found.groups:
        typer.echo(_shown(sentences.of_mean(found, one)))
    write = sentences.shares if content.study.kind == "pairs" else sentences.decimals
    for each, told in found.board:
        if told.known:
            typer.echo(f"{_shown(each):24} {write(told):22} {sentences.counted(found, told.count)}")
    if apart := sentences.connected(found):
        typer.echo(apart)
    for place, strength, low, high in findings.best(found, most=10):
        feature = _shown(name_of(content.features[place]))
        typer.echo(f"{feature:40} {strength:+.2f} [{low:+.2f}, {high:+.2f}]")


def _bring(
    brought: dict[str, NDArray[np.float64]], file: Path, more: dict[str, NDArray[np.float64]]
) -> None:
    """Put more scores beside those that were brought; none takes another's place."""
    from pipeline.study.draw import StudyError

    for name in more:
        if name in brought:
            raise StudyError(
                f"{file}: a score {name[:80]!r} was brought already; name its column otherwise"
            )
    brought |= more


@contextmanager
def _opened(place: str | None) -> Iterator[Annotations]:
    """The store, closed at the end; faults are told in one line."""
    with one_line_errors():
        from pipeline.annotations import Annotations, default_place

        kept = Annotations(place or default_place())
        try:
            yield kept
        finally:
            kept.close()


def _content(kept: Annotations, name: str) -> Content:
    from pipeline.study.content import Content

    return Content.model_validate_json(kept.study_content(name))


def _link(url: str, page: str, **parameters: str) -> str:
    from urllib.parse import urlencode

    return f"{url.rstrip('/')}/{page}?{urlencode(parameters)}"


def _shown(text: str) -> str:
    """What a file says, as a terminal may be told it."""
    return _printable(text[:200])


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)
