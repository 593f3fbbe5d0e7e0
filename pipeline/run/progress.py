"""Progress in the terminal: a bar a step with its rate and estimate, and a summary at the end."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from pipeline.bundle import opening
from pipeline.contract import tables
from pipeline.contract.tables import (
    CAPTIONS,
    DICTIONARIES,
    ENCODERS,
    EXAMPLES,
    OVERLAP,
    RECONSTRUCTION,
)
from pipeline.metrics import notices
from pipeline.run.plan import Plan
from pipeline.run.workspace import Workspace


class _Rate(TextColumn):
    def render(self, task: Task) -> Text:
        if task.speed is None:
            return Text("")
        return Text(f"{task.speed:,.0f} {task.fields['measure']}/s", style="dim")


class _Drawn:
    """A context within which a progress display is drawn."""

    _progress: Progress

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


class Bars(_Drawn):
    """An engine's watcher that draws; where the output is no terminal it prints a line a step."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._progress = Progress(
            TextColumn("{task.description:8}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(""),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = TaskID(0)
        self._began = 0.0
        self._steps: list[tuple[Plan, int, float]] = []
        self._notes: list[str] = []

    def tell(self, notes: Sequence[str]) -> None:
        """Print what is to be known of the inputs, now and with the summary."""
        self._notes += notes
        for note in notes:
            self._console.print(note, highlight=False, markup=False, soft_wrap=True)

    def start(self, plan: Plan, *, done: int) -> None:
        total = sum(unit.weight for unit in plan.units)
        self._began = time.monotonic()
        self._task = self._progress.add_task(
            plan.step, total=total, completed=done, measure=plan.measure, visible=total > 0
        )

    def advance(self, weight: int) -> None:
        self._progress.advance(self._task, weight)

    def finish(self, plan: Plan, *, made: int) -> None:
        seconds = time.monotonic() - self._began
        self._progress.stop_task(self._task)
        self._steps.append((plan, made, seconds))
        if not self._console.is_terminal:
            self._console.print(
                f"{plan.step}: {made} of {len(plan.units)} units made, {seconds:.1f} s"
            )

    def summary(self, workspace: Workspace) -> None:
        """What each step did and where the bundle is."""
        table = Table(box=None, pad_edge=False)
        for name in ("step", "units", "made now", "skipped inputs", "seconds"):
            table.add_column(name, justify="left" if name == "step" else "right")
        for plan, made, seconds in self._steps:
            manifest = workspace.manifest(plan.step) or {"skipped": {}}
            table.add_row(
                plan.step,
                str(len(plan.units)),
                str(made),
                str(len(manifest["skipped"])),
                f"{seconds:.1f}",
            )
        self._console.print(table)
        for note in self._notes:
            self._console.print(note, highlight=False, markup=False, soft_wrap=True)
        self._console.print(f"bundle: {workspace.root / 'bundle'}", highlight=False)
        for line in notices_of(opening.open_bundle(workspace.root)):
            self._console.print(f"note: {line}", highlight=False, markup=False, soft_wrap=True)


def notices_of(bundle: opening.Bundle) -> list[str]:
    """What the bundle's figures tell that one should know before using them, a line each."""

    def rows(table: tables.Table, *columns: str) -> list[dict[str, Any]]:
        read = pq.read_table(bundle.root / table.file, columns=list(columns) or None)
        found: list[dict[str, Any]] = read.to_pylist()
        return found

    overlap = rows(OVERLAP, "dictionary_id", "threshold", "live")
    captions = rows(CAPTIONS, "example_id")
    return notices.notices(
        config=bundle.manifest.get("config") or {},
        dictionaries=rows(DICTIONARIES),
        reconstruction=rows(RECONSTRUCTION),
        encoders=rows(ENCODERS),
        live={row["dictionary_id"]: row["live"] for row in overlap if row["threshold"] == 0},
        val=sum(row["split"] == "val" for row in rows(EXAMPLES, "split")),
        captioned=len({row["example_id"] for row in captions}),
    )


class FitBar(_Drawn):
    """The watcher of a projector's training; draws only in a terminal."""

    def __init__(self) -> None:
        console = Console(file=sys.stderr)
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(""),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = TaskID(0)

    def start(self, *, done: int, total: int) -> None:
        self._task = self._progress.add_task(
            "", total=total, completed=done, measure="steps", loss=float("nan")
        )

    def advance(self, loss: float) -> None:
        self._progress.update(self._task, advance=1, loss=loss)
