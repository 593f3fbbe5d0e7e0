"""Runs a plan's units of work, in this process; what is there already is not made again."""

import importlib.metadata
import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.plan import Plan, Unit
from pipeline.store import Workspace

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
    fails raises; what was finished stays, and a later run goes on from there.
    """
    with workspace.locked():
        for plan in plans.values():
            missing = [unit for unit in plan.units if not workspace.has(plan.step, unit.key)]
            weight = sum(unit.weight for unit in plan.units)
            watcher.start(plan, done=weight - sum(unit.weight for unit in missing))
            if missing:
                _make(plan.step, missing, worker(plan.step), workspace=workspace, watcher=watcher)
            if plan.step == PUBLISHED and not workspace.shows(plan.step, plan.units[0].key):
                workspace.expose(plan.step, plan.units[0].key)
            if missing or _is_stale(plan, workspace):
                workspace.write_manifest(plan.step, _manifest(plan, workspace))
            watcher.finish(plan, made=len(missing))


def state(plan: Plan, workspace: Workspace) -> tuple[str, str]:
    """`done`, `missing`, `partial` or `stale`, and why."""
    there = sum(workspace.has(plan.step, unit.key) for unit in plan.units)
    manifest = workspace.manifest(plan.step)
    if there == len(plan.units) and manifest is not None and not _is_stale(plan, workspace):
        return "done", f"{there} units"
    if manifest is not None and manifest["key"] != plan.key:
        before = manifest["reads"]
        changed = [name for name, value in plan.reads.items() if before.get(name) != value]
        why = f"changed: {', '.join(changed) or 'the code of the step'}"
        return "stale", f"{why}; {there} of {len(plan.units)} units are there"
    if there:
        return "partial", f"{there} of {len(plan.units)} units are there"
    return "missing", "not run yet"


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


def _is_stale(plan: Plan, workspace: Workspace) -> bool:
    manifest = workspace.manifest(plan.step)
    return manifest is None or manifest["key"] != plan.key


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
