"""The house: its rooms, and which rooms each may import.

`test_architecture.py` holds the code to these tables; the parts of docs/design.md that show them
are written from here: `python tests/house.py`.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DESIGN = ROOT / "docs" / "design.md"

# Room of the pipeline -> the rooms that it may import. A room always may import itself, but for
# the steps: no step imports another.
ALLOWED: dict[str, set[str]] = {
    "contract": set(),
    "config": set(),
    "fingerprints": set(),
    "hooks": set(),
    "metrics": set(),
    "tensors": set(),
    "csv_cells": set(),
    "errors": set(),
    "demo": {"contract", "config"},
    "annotations": {"contract", "config"},
    "inputs": {"config", "demo"},
    "models": {"config", "hooks"},
    "saes": {"config", "hooks", "metrics", "tensors"},
    # Of a bundle without hashes `verify` compares the SAEs' fingerprints.
    "bundle": {"contract", "fingerprints", "saes"},
    # Hooks take its edits; models' layouts say which tokens a scope means.
    "interventions": {"config", "hooks", "models", "saes"},
    "study": {"annotations", "bundle", "config", "contract", "csv_cells", "fingerprints",
              "metrics"},
    "run": {"bundle", "config", "contract", "fingerprints", "inputs", "metrics", "saes"},
    "labelling": {"bundle", "config", "fingerprints", "models"},
    "activations": {"bundle", "config", "contract", "inputs", "metrics", "models", "run", "saes"},
    "projector": {"bundle", "config", "contract", "fingerprints", "inputs", "metrics", "models",
                  "run", "tensors"},
    "preflight": {"activations", "config", "labelling", "models", "run", "saes"},
    "steer_command": {"bundle", "config", "contract", "fingerprints", "inputs", "interventions",
                      "metrics", "models", "run", "saes"},
}  # fmt: skip
# Every room may raise the expected errors.
for room in ALLOWED.keys() - {"errors"}:
    ALLOWED[room] |= {"errors"}
ALLOWED["steps"] = set(ALLOWED)
ALLOWED["__main__"] = set(ALLOWED)

# The dashboard, floor by floor: a room imports rooms of lower floors only.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("records", "pages", "headers"),
    ("style", "queries", "address", "gate", "faults"),
    ("components", "charts", "cards"),
    ("bundle", "exports"),
    ("live", "page"),
    ("people", "images"),
    ("features", "study", "steering"),
    ("views",),
    ("front",),
    ("app",),
)
# What each of its rooms may import of the pipeline; those that are not named, nothing.
OF_PIPELINE: dict[str, set[str]] = {
    "queries": {"contract", "metrics"},
    "faults": {"config", "inputs"},
    "cards": {"inputs"},
    "bundle": {"bundle", "contract", "errors"},
    "exports": {"annotations", "csv_cells", "inputs", "metrics", "study"},
    "live": {"config", "inputs", "metrics", "models", "run", "saes"},
    "people": {"annotations", "errors"},
    "features": {"annotations", "metrics"},
    "study": {"annotations", "study"},
    "steering": {"config", "contract", "inputs", "interventions", "metrics", "models", "saes"},
    "views": {"annotations", "metrics", "study"},
}


def rooms(house: str) -> dict[str, Path]:
    """The rooms that there are: a module or a package of `pipeline` or `dashboard` -> its file."""
    found = {}
    for path in sorted((ROOT / house).iterdir()):
        if path.suffix == ".py" and path.stem != "__init__":
            found[path.stem] = path
        elif (path / "__init__.py").exists():
            found[path.name] = path / "__init__.py"
    return found


def about(file: Path) -> str:
    """The first sentence of a module's docstring."""
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    first = " ".join(doc.partition("\n\n")[0].split())
    return re.split(r"(?<=\.) ", first)[0].rstrip(".")


def pipeline_table() -> str:
    lines = ["| room | what is in it | imports |", "|---|---|---|"]
    files = rooms("pipeline")
    for room, below in ALLOWED.items():
        named = sorted(below - {"errors"})
        of = "all of these" if room in {"steps", "__main__"} else ", ".join(named) or "–"
        lines.append(f"| {room} | {about(files[room])} | {of} |")
    return "\n".join(lines)


def dashboard_table() -> str:
    lines = ["| floor | room | what is in it | of the pipeline |", "|---|---|---|---|"]
    files = rooms("dashboard")
    for number, floor in enumerate(FLOORS, 1):
        for room in floor:
            of = ", ".join(sorted(OF_PIPELINE.get(room, set()))) or "–"
            lines.append(f"| {number} | {room} | {about(files[room])} | {of} |")
    return "\n".join(lines)


TABLES = {"pipeline": pipeline_table, "dashboard": dashboard_table}


def written(text: str) -> str:
    """docs/design.md with its tables as they are now, each between its two marks."""
    for name, table in TABLES.items():
        start, end = f"<!-- {name}: python tests/house.py -->", f"<!-- {name} ends -->"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        assert found, f"{DESIGN} lacks {start} and {end}"
        text = f"{before}{start}\n{table()}\n{end}{after}"
    return text


if __name__ == "__main__":
    DESIGN.write_text(written(DESIGN.read_text(encoding="utf-8")), encoding="utf-8")
