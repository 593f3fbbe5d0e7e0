"""Runs a plan's units of work, in this process; what is there already is not made again."""

import importlib.metadata
import logging
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from pipeline.bundle.sealed import StoreError
from pipeline.errors import LoupeError, is_full
from pipeline.run.plan import Plan, Unit
from pipeline.run.workspace import ABSENT, Workspace

_LIBRARIES = ("torch", "transformers", "sae-lens", "duckdb", "pyarrow", "numpy", "pillow")
PUBLISHED = "publish"
"""The step whose one unit is the bundle."""

log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Is told how a step goes on."""

    def start(self, plan: Plan, *, done: int) -> None:
        """The step begins; `done` of its weight is there from an earlier run."""

    def advance(self, weight: int) -> None:
        """So much more is done."""

    def finish(self, plan: Plan, *, made: int) -> None:
        """The step is whole; `made` units were made now."""


class Worker(Protocol):
    """Does one step's units; made once a step, so that it keeps the model that it loads.

    Every module in `steps/` has a class `Worker(run, workspace)` like this.
    """

    def make(self, unit: Unit, folder: Path, advance: Callable[[int], None]) -> Mapping[str, Any]:
        """Fill `folder`; call `advance(n)` as n more of the unit's weight is done; return facts."""
        ...


def execute(
    plans: Mapping[str, Plan],
    worker: Callable[[str], Worker],
    *,
    workspace: Workspace,
    watcher: Watcher,
) -> None:
    """Run every step in order; its manifest is written when all of its units are there.

    `worker` gives a step's worker; it is asked only for steps that have units to make. A unit that
    fails raises; what was finished stays, and a later run goes on from there. What was damaged
    since it was made is made again, with a warning.

    Raises:
        StoreError: another process runs it, the disk is full, or a file that a step read is damaged
            though its time and size are not: the next run makes it again.
    """
    try:
        with workspace.locked():
            for plan in plans.values():
                missing = _missing(plan, workspace)
                weight = sum(unit.weight for unit in plan.units)
                watcher.start(plan, done=weight - sum(unit.weight for unit in missing))
                if missing:
                    with _reading(plans, plan.step, workspace):
                        made_by = worker(plan.step)
                        _make(plan.step, missing, made_by, workspace=workspace, watcher=watcher)
                if plan.step == PUBLISHED:
                    _show(plan, workspace)
                if missing or _is_stale(plan, workspace):
                    workspace.write_manifest(plan.step, _manifest(plan, workspace))
                watcher.finish(plan, made=len(missing))
    except Exception as error:
        if not is_full(error):
            raise
        raise StoreError(
            f"{workspace.root}: no space left on the disk; make room and run the same command "
            "again, which goes on from here"
        ) from error


def state(plan: Plan, workspace: Workspace) -> tuple[str, str]:
    """`done`, `missing`, `partial` or `stale`, and why."""
    faults = {unit.name: workspace.fault(plan.step, unit.key) for unit in plan.units}
    there = sum(fault is None for fault in faults.values())
    damaged = [f"{name} ({why})" for name, why in faults.items() if why not in (None, ABSENT)]
    try:
        manifest = _finished(plan, workspace)
    except StoreError:
        manifest = None
        damaged.append(f"manifests/{plan.step}.json")
    more = f"; damaged: {', '.join(damaged[:3])}" if damaged else ""
    more += f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
    counted = f"{there} of {len(plan.units)} units are there{more}"
    if manifest is not None and manifest["key"] != plan.key:
        before = manifest["reads"]
        changed = [name for name, value in plan.reads.items() if before.get(name) != value]
        return "stale", f"changed: {', '.join(changed) or 'the code of the step'}; {counted}"
    if there == len(plan.units) and manifest is not None:
        return "done", f"{there} units"
    if there or damaged:
        return "partial", counted
    return "missing", "not run yet"


def _missing(plan: Plan, workspace: Workspace) -> list[Unit]:
    """The units to make; says which of them are damaged."""
    missing = []
    for unit in plan.units:
        fault = workspace.checked(plan.step, unit.key)
        if fault is not None:
            missing.append(unit)
        if fault not in (None, ABSENT):
            log.warning("%s: %s is damaged (%s) and is made again", plan.step, unit.name, fault)
    return missing


def _make(
    step: str,
    missing: Sequence[Unit],
    worker: Worker,
    *,
    workspace: Workspace,
    watcher: Watcher,
) -> None:
    for unit in missing:
        with workspace.making(step, unit.key) as (folder, facts):
            facts |= {"unit": unit.name, **worker.make(unit, folder, watcher.advance)}
        log.info("%s: made %s", step, unit.name)


@contextmanager
def _reading(plans: Mapping[str, Plan], step: str, workspace: Workspace) -> Iterator[None]:
    """Where a step fails, look closely at what it may have read: the libraries' messages name no
    file, and damage that left a file's time as it was shows here first."""
    try:
        yield
    except Exception as error:
        elsewhere = isinstance(error, LoupeError) and str(workspace.root) not in str(error)
        if elsewhere or is_full(error) or isinstance(error, MemoryError):
            raise
        damaged = list(_damaged(plans, step, workspace))
        if not damaged:
            raise
        raise StoreError(
            f"{damaged[0]}; run the same command again, which makes anew what is damaged"
        ) from error


def _damaged(plans: Mapping[str, Plan], step: str, workspace: Workspace) -> Iterator[str]:
    """What is wrong with the parts up to those of `step`; these then count as not made."""
    names = list(plans)
    for plan in (plans[name] for name in names[: names.index(step) + 1]):
        for unit in plan.units:
            fault = workspace.fault(plan.step, unit.key, closely=True)
            if fault not in (None, ABSENT):
                workspace.forget(plan.step, unit.key)
                yield f"{workspace.part(plan.step, unit.key)}: damaged ({fault})"


def _show(plan: Plan, workspace: Workspace) -> None:
    """Point the run's link at the bundle."""
    key = plan.units[0].key
    if not workspace.shows(plan.step, key):
        moved = workspace.expose(plan.step, key)
        if moved is not None:
            log.warning(
                "bundle was a folder, as in a copy without links; it is now %s, and may be removed",
                moved,
            )


def _is_stale(plan: Plan, workspace: Workspace) -> bool:
    try:
        manifest = _finished(plan, workspace)
    except StoreError:
        log.warning("%s: its manifest is damaged and is written anew", plan.step)
        return True
    return manifest is None or manifest["key"] != plan.key


def _finished(plan: Plan, workspace: Workspace) -> dict[str, Any] | None:
    """The step's manifest, as `_manifest` made it; None: the step never finished.

    Raises:
        StoreError: it is damaged.
    """
    made = workspace.manifest(plan.step)
    kinds = {"key": str, "reads": dict, "units": dict, "skipped": dict}
    if made is None or all(isinstance(made.get(name), kind) for name, kind in kinds.items()):
        return made
    raise StoreError(f"{workspace.root}: manifests/{plan.step}.json is damaged; run it again")


def _manifest(plan: Plan, workspace: Workspace) -> dict[str, Any]:
    skipped: dict[str, str] = {}
    for unit in plan.units:
        skipped |= workspace.facts(plan.step, unit.key).get("skipped", {})
    return {
        "step": plan.step,
        "key": plan.key,
        "reads": dict(plan.reads),
        "units": {unit.name: unit.key for unit in plan.units},
        "weight": sum(unit.weight for unit in plan.units),
        "skipped": skipped,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of Python and the libraries that the results depend on."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            log.warning("%s is not installed", name)
    return found
