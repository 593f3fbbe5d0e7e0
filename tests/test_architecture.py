"""The house's rules: who may import whom, and what only one place may do.

The tables of rooms are in `house.py`. All checks read the source, so that they hold for
imports inside functions too; the last ones start a fresh interpreter and look at what it loaded.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from house import ALLOWED, DESIGN, FLOORS, OF_PIPELINE, ROOT, rooms, written

FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}

# Libraries that a module, or a package's modules, do not name, not even in a function.
WITHOUT = {
    "pipeline": {"streamlit"},
    "pipeline.contract": {"torch"},
    "pipeline.config": {"torch"},
    "pipeline.bundle.opening": {"torch"},
    "pipeline.bundle.tables": {"torch"},
    "pipeline.run": {"torch"},
    "pipeline.run.engine": {"numpy", "pyarrow", "torch"},
    "pipeline.run.plan": {"numpy", "pyarrow", "torch"},
    "pipeline.run.workspace": {"numpy", "pyarrow", "torch"},
    "pipeline.annotations": {"torch"},
    "pipeline.study": {"torch"},
    "dashboard.queries": {"streamlit", "torch"},
    "dashboard.charts.features": {"streamlit", "torch"},
    "dashboard.charts.modalities": {"streamlit", "torch"},
    "dashboard.steering.label_charts": {"streamlit", "torch"},
    "dashboard.study.charts": {"streamlit", "torch"},
    "dashboard.steering.joint_space": {"streamlit", "torch"},
    "dashboard.steering.direction_names": {"streamlit", "torch"},
    "dashboard.exports": {"streamlit", "torch"},
    "dashboard.views": {"duckdb", "os", "pandas", "pathlib", "torch"},
}
# Of these, the ones that do not load them by way of other modules either.
LIGHT = sorted(WITHOUT.keys() - {"pipeline", "dashboard.views"})

UNPICKLERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
# What opens a picture file, but for Image.open; some of it in any format, some by another program.
READERS = re.compile(
    r"PIL\.Image\.(open|\*)|PIL\.(\w+Plugin|ImageFile|ImageGrab|ImageShow|ImageQt|\w*TarIO)\b"
    r"|(cv2|imageio|skimage|wand|pyvips|pillow_heif|torchvision\.io|matplotlib\.(image|pyplot))\b"
    r"|transformers\.(image_utils\.)?load_image"
)
OPENERS = re.compile(r"\bImage\.open$|\bst\.image$|\.imread$|\bImageFile\.Parser$|\bload_image$")
CALLBACK = re.compile(r"on_click|on_(\w+_)?change|on_select|on_submit|on_dismiss")
HOOKS = re.compile(r"register_(module_)?(full_)?(forward|backward)(_pre)?_hook")
SQL = re.compile(r"\bSELECT\s")

# Not loaded by `python -m pipeline --help`.
HEAVY = {
    "datasets",
    "duckdb",
    "numba",
    "numpy",
    "open_clip",
    "pandas",
    "pyarrow",
    "sae_lens",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "streamlit",
    "torch",
    "torchvision",
    "transformers",
    "umap",
}


@dataclass(frozen=True)
class Source:
    """One Python file of the project."""

    path: str  # from the root, with /
    name: str  # dotted; a package is named without __init__
    is_package: bool
    tree: ast.Module

    @property
    def room(self) -> str:
        """The part of the house that the rules speak of, `store` or `steps`; "" for the root."""
        return [*self.name.split("."), ""][1]


@dataclass(frozen=True)
class Import:
    """One import of a project module, at `line`; `lazy` when loading the source does not run it."""

    source: Source
    target: str
    line: int
    lazy: bool

    def __str__(self) -> str:
        return f"{self.source.path}:{self.line} imports {self.target}"


def read_sources(root: Path) -> list[Source]:
    """All Python files under pipeline/ and dashboard/ of the checkout at `root`."""
    sources = []
    for path in sorted([*root.glob("pipeline/**/*.py"), *root.glob("dashboard/**/*.py")]):
        relative = path.relative_to(root)
        parts = relative.with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(relative))
        sources.append(Source(relative.as_posix(), name, is_package, tree))
    return sources


def walk(tree: ast.AST, *, lazy: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below `tree`, each with whether it is in a function or for type checks only."""
    for node in ast.iter_child_nodes(tree):
        yield node, lazy
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        inside |= isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        yield from walk(node, lazy=lazy or inside)


def named_by(node: ast.AST, source: Source) -> list[str]:
    """The dotted names that an import statement or a call of import_module asks for."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = source.name.split(".")[: None if source.is_package else -1]
            package = package[: len(package) - node.level + 1]
            base = ".".join([*package, *([base] if base else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call):
        function = node.func
        name = getattr(function, "attr", getattr(function, "id", ""))
        if name in {"import_module", "__import__"} and node.args:
            first = node.args[0]
            if isinstance(first, ast.JoinedStr) and first.values:
                first = first.values[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                return [first.value]
    return []


def project_imports(sources: list[Source]) -> list[Import]:
    """Every import of one project module by another.

    `from pipeline.store import open_bundle` names a function: its target is the module above it.
    """
    modules = {source.name for source in sources}
    found = []
    for source in sources:
        for node, lazy in walk(source.tree):
            for name in named_by(node, source):
                if name.split(".")[0] not in {"pipeline", "dashboard"}:
                    continue
                target = name
                while target not in modules and not is_room(target):
                    target = target.rpartition(".")[0]
                if target != source.name:
                    found.append(Import(source, target, node.lineno, lazy))
    return found


def is_room(name: str) -> bool:
    """Whether a name that is no module stops here: a house, or one of its rooms."""
    house, _, room = name.partition(".")
    return not room or (house == "pipeline" and room in ALLOWED)


def without_rule(sources: list[Source]) -> list[str]:
    known = {"pipeline": ALLOWED.keys(), "dashboard": FLOOR.keys()}
    return sorted(
        {
            source.path
            for source in sources
            if source.room and source.room not in known[source.name.split(".")[0]]
        }
    )


def forbidden_imports(sources: list[Source]) -> list[str]:
    return [str(each) for each in project_imports(sources) if not is_allowed(each)]


def is_allowed(each: Import) -> bool:
    source, (house, _, rest) = each.source, each.target.partition(".")
    room = rest.split(".")[0]
    if not rest:  # the root package, which imports nothing
        return source.name.split(".")[0] == house or house == "pipeline"
    if source.name.startswith("dashboard"):
        if house == "pipeline":
            return room in OF_PIPELINE.get(source.room, set())
        return room == source.room or FLOOR.get(room, 99) < FLOOR.get(source.room, -1)
    if house != "pipeline":
        return False
    if source.room == "steps" == room:
        return each.target == "pipeline.steps"
    return room == source.room or room in ALLOWED.get(source.room, set())


COMMANDS = {"pipeline.__main__", "pipeline.study.cli"}
"""Modules of the command line: what they import eagerly is imported whatever is asked for."""


def eager_command_line(sources: list[Source]) -> list[str]:
    light = {"pipeline", "pipeline.study", "pipeline.errors", *COMMANDS}
    return [
        str(each)
        for each in project_imports(sources)
        if each.source.name in COMMANDS and each.target not in light and not each.lazy
    ]


def circles(sources: list[Source]) -> list[str]:
    """Circles between modules; a package that gathers its own submodules is none."""
    graph: dict[str, set[str]] = {source.name: set() for source in sources}
    for each in project_imports(sources):
        if each.target in graph and not each.target.startswith(each.source.name + "."):
            graph[each.source.name].add(each.target)
    found: list[str] = []
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            found.append(" -> ".join([*trail[trail.index(name) :], name]))
            return
        if name not in done:
            for target in sorted(graph[name]):
                visit(target, [*trail, name])
            done.add(name)

    for name in sorted(graph):
        visit(name, [])
    return found


def banned_libraries(sources: list[Source]) -> list[str]:
    return [
        f"{source.path}:{node.lineno} imports {library}"
        for source in sources
        for node, _ in walk(source.tree)
        for library in sorted({name.split(".")[0] for name in named_by(node, source)})
        if any(
            library in libraries and f"{source.name}.".startswith(f"{place}.")
            for place, libraries in WITHOUT.items()
        )
    ]


def registered_hooks(sources: list[Source]) -> list[str]:
    return [
        f"{source.path}:{node.lineno} {name}"
        for source in sources
        if source.name != "pipeline.hooks"
        for node, _ in walk(source.tree)
        for name in [getattr(node, "attr", getattr(node, "id", getattr(node, "value", None)))]
        if isinstance(name, str) and HOOKS.fullmatch(name)
    ]


def prints(sources: list[Source]) -> list[str]:
    return [
        f"{source.path}:{node.lineno} print"
        for source in sources
        if source.name.startswith("pipeline") and source.room != "__main__"
        for node, _ in walk(source.tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]


def unpickled(sources: list[Source]) -> list[str]:
    """What could run code that a file carries."""
    found = []
    for source in sources:
        for node, _ in walk(source.tree):
            names = named_by(node, source)
            bad = {name for name in names if name.split(".")[0] in UNPICKLERS}
            bad |= {"torch.load"} & set(names)  # `from torch import load` hides from the next check
            if isinstance(node, ast.Call):
                called, options = ast.unparse(node.func), {k.arg: k.value for k in node.keywords}
                if called == "torch.load" and not is_true(options.get("weights_only")):
                    bad.add("torch.load without weights_only=True")
                if is_true(options.get("allow_pickle")):
                    bad.add("allow_pickle=True")
                if called.endswith(".read_pickle"):
                    bad.add(called)
            found += [f"{source.path}:{node.lineno} {each}" for each in sorted(bad)]
    return found


def opened_pictures(sources: list[Source]) -> list[str]:
    """Pictures that are opened elsewhere than in pipeline.inputs.pictures, or in any format there
    is: some run programs."""
    found = []
    for source in sources:
        home = source.name == "pipeline.inputs.pictures"
        for node, _ in walk(source.tree):
            bad = set() if home else {n for n in named_by(node, source) if READERS.match(n)}
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            options = {k.arg: k.value for k in node.keywords} if called else {}
            if isinstance(node, ast.Attribute) and OPENERS.search(ast.unparse(node)) and not home:
                bad.add(ast.unparse(node))
            listed = isinstance(options.get("formats"), ast.Name | ast.Tuple)
            if home and OPENERS.search(called) and not listed:
                bad.add("Image.open without a list of formats")
            if called.endswith("datasets.Image") and not is_false(options.get("decode")):
                bad.add("datasets.Image without decode=False")
            found += [f"{source.path}:{node.lineno} {each}" for each in sorted(bad)]
    return found


def is_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def sql_outside_queries(sources: list[Source]) -> list[str]:
    return [
        f"{source.path}:{node.lineno} SQL"
        for source in sources
        if source.name.startswith("dashboard") and not source.name.startswith("dashboard.queries")
        for node, _ in walk(source.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    ]


def script_names(sources: list[Source]) -> list[str]:
    """Functions of a page's script that read what the script below them sets: they are given it.
    Names of one's own hide those; constants are written in capitals."""
    found = []
    for source in sources:
        if not re.fullmatch(r"dashboard/views/\w+/page\.py", source.path):
            continue
        functions = [node for node in source.tree.body if isinstance(node, ast.FunctionDef)]
        script = [node for node in source.tree.body if node not in functions]
        script = [node for node in script if not isinstance(node, ast.ClassDef)]
        below = {name for node in script for name in names(node, ast.Store) if not name.isupper()}
        for function in functions:
            own = {each.arg for each in ast.walk(function) if isinstance(each, ast.arg)}
            read = names(function, ast.Load) & (below - own - names(function, ast.Store))
            found += [f"{source.path}:{function.lineno} reads {name}" for name in sorted(read)]
    return found


def names(node: ast.AST, context: type[ast.expr_context]) -> set[str]:
    """The names that are read, or set, within `node`."""
    inside = (each for each in ast.walk(node) if isinstance(each, ast.Name))
    return {each.id for each in inside if isinstance(each.ctx, context)}


CHECKS = [
    without_rule,
    forbidden_imports,
    eager_command_line,
    circles,
    banned_libraries,
    registered_hooks,
    prints,
    unpickled,
    opened_pictures,
    sql_outside_queries,
    script_names,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_house(check) -> None:
    found = check(read_sources(ROOT))
    assert not found, "\n".join([check.__name__.replace("_", " "), *found])


# Every check fails where it should: files of a small house, the check, and how often it finds.
def unasked_parts(sources: list[Source]) -> list[str]:
    """Parts of pages that run alone and callbacks that do not ask who may open the page first, but
    for signing in and out, which tell nothing."""
    found = []
    for source in sources:
        if source.path in {"dashboard/gate.py", "dashboard/people/login.py"}:
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {
                "st.fragment",
                "st.dialog",
            }:
                found.append(f"{source.path}:{node.lineno} uses st.{node.attr}")
            for name, value in passed(node):
                if CALLBACK.fullmatch(name) and not asks_first(value):
                    found.append(f"{source.path}:{value.lineno} gives {name} unasked")
    return found


def passed(node: ast.AST) -> list[tuple[str, ast.expr]]:
    """What a call is given by name, or a dictionary holds by a name that stands there."""
    if isinstance(node, ast.Call):
        return [(each.arg, each.value) for each in node.keywords if each.arg]
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return [
            (k.value, v)
            for k, v in pairs
            if isinstance(k, ast.Constant) and isinstance(k.value, str)
        ]
    return []


def asks_first(value: ast.expr) -> bool:
    """Whether it is no callback, does nothing, or asks the rule: `gate.allowed(...)`."""
    if isinstance(value, ast.Lambda) and isinstance(value.body, ast.Constant):
        return True
    text = ast.unparse(value)
    return isinstance(value, ast.Constant) or text.startswith("gate.allowed(")


def test_parts_and_callbacks_ask_who_may_open_the_page() -> None:
    assert not unasked_parts(read_sources(ROOT))


FAULTS = [
    (without_rule, 1, {"pipeline/utils.py": ""}),
    (forbidden_imports, 1, {"pipeline/bundle/a.py": "import pipeline.models"}),
    (forbidden_imports, 1, {"pipeline/bundle/a.py": "from pipeline import run"}),
    (forbidden_imports, 1, {"pipeline/bundle/a.py": "def f():\n    from .. import run"}),
    (forbidden_imports, 1, {"pipeline/saes/a.py": "from ..run import engine"}),
    (forbidden_imports, 1, {"pipeline/run/engine.py": "import_module(f'pipeline.steps.{name}')"}),
    (forbidden_imports, 1, {"pipeline/bundle/a.py": "import dashboard.address"}),
    (
        forbidden_imports,
        2,
        {
            "pipeline/steps/__init__.py": "",
            "pipeline/steps/a.py": "from . import b\nfrom pipeline.steps.b import run",
            "pipeline/steps/b.py": "from pipeline import run\nfrom pipeline.steps import Step",
        },
    ),
    (forbidden_imports, 1, {"dashboard/views/a.py": "from pipeline import bundle"}),
    (forbidden_imports, 1, {"dashboard/bundle/a.py": "from pipeline import bundle, saes"}),
    (
        forbidden_imports,
        0,
        {"dashboard/live/models.py": "from pipeline import models, saes, run"},
    ),
    (
        forbidden_imports,
        0,
        {"pipeline/__init__.py": "", "pipeline/bundle/a.py": "from pipeline import contract"},
    ),
    (
        eager_command_line,
        0,
        {"pipeline/__main__.py": "if TYPE_CHECKING:\n    from pipeline import config"},
    ),
    (
        eager_command_line,
        1,
        {"pipeline/__main__.py": "from pipeline import run\ndef f():\n    import pipeline.saes"},
    ),
    (
        circles,
        1,
        {"pipeline/saes/a.py": "from . import b", "pipeline/saes/b.py": "from .a import c"},
    ),
    (
        circles,
        0,
        {
            "pipeline/saes/__init__.py": "from pipeline.saes.a import A",
            "pipeline/saes/a.py": "from pipeline.saes.b import B",
            "pipeline/saes/b.py": "",
        },
    ),
    (banned_libraries, 1, {"pipeline/contract.py": "def f():\n    from torch import nn"}),
    (banned_libraries, 1, {"pipeline/study/pairs.py": "import torch.nn"}),
    (banned_libraries, 1, {"pipeline/models/families/clip.py": "import torch, streamlit"}),
    (banned_libraries, 2, {"dashboard/views/a.py": "import pandas\nfrom pathlib import Path"}),
    (banned_libraries, 1, {"dashboard/charts/features.py": "import streamlit as st"}),
    (registered_hooks, 1, {"pipeline/models/a.py": "m.register_forward_pre_hook(f)"}),
    (registered_hooks, 1, {"dashboard/live/models.py": "getattr(m, 'register_forward_hook')(f)"}),
    (registered_hooks, 0, {"pipeline/hooks.py": "m.register_forward_hook(f)"}),
    (prints, 1, {"pipeline/steps/a.py": "print(1)", "pipeline/__main__.py": "print(1)"}),
    (unpickled, 3, {"pipeline/saes/a.py": "import pickle\nfrom joblib import load\nimport dill"}),
    (unpickled, 2, {"pipeline/saes/a.py": "torch.load(p)\ntorch.load(p, weights_only=False)"}),
    (unpickled, 0, {"pipeline/saes/a.py": "torch.load(p, weights_only=True)\nnp.load(p)"}),
    (unpickled, 1, {"pipeline/saes/a.py": "np.load(p, allow_pickle=True)"}),
    (unpickled, 1, {"pipeline/saes/a.py": "from torch import load"}),
    (opened_pictures, 1, {"pipeline/steps/a.py": "Image.open(p, formats=FORMATS)"}),
    (opened_pictures, 1, {"dashboard/a.py": "opener = PIL.Image.open"}),
    (opened_pictures, 2, {"pipeline/a.py": "from PIL.Image import open\nimport cv2"}),
    (opened_pictures, 1, {"pipeline/a.py": "from PIL import EpsImagePlugin, Image"}),
    (opened_pictures, 1, {"dashboard/views/a.py": "st.image(file)"}),
    (opened_pictures, 1, {"pipeline/inputs/pictures.py": "Image.open(p)"}),
    (opened_pictures, 1, {"pipeline/inputs/pictures.py": "Image.open(p, formats=None)"}),
    (opened_pictures, 0, {"pipeline/inputs/pictures.py": "Image.open(p, formats=FORMATS)"}),
    (opened_pictures, 1, {"pipeline/examples.py": "data.cast_column(c, datasets.Image())"}),
    (sql_outside_queries, 1, {"dashboard/views/a.py": "c.execute(f'SELECT {x} FROM features')"}),
    (unasked_parts, 1, {"dashboard/a.py": "@st.fragment\ndef bar(): ..."}),
    (unasked_parts, 2, {"dashboard/a.py": "st.button('x', on_click=f)\nd = {'on_change': f}"}),
    (unasked_parts, 0, {"dashboard/a.py": "st.button('x', on_click=gate.allowed(f))"}),
    (sql_outside_queries, 0, {"dashboard/queries.py": "TOP = 'SELECT 1'"}),
    (script_names, 1, {"dashboard/views/a/page.py": "def f():\n    return run\nrun = 1"}),
    (script_names, 1, {"dashboard/views/a/page.py": "def f():\n    g(x)\nwith h() as x:\n    f()"}),
    (
        script_names,
        0,
        {"dashboard/views/a/page.py": "def f(run):\n    return MOST\nrun = MOST = 1"},
    ),
]


@pytest.mark.parametrize(("check", "count", "files"), FAULTS)
def test_each_check_can_fail(check, count: int, files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    found = check(read_sources(tmp_path))
    assert len(found) == count, found


def test_every_room_has_a_rule_and_every_rule_a_room() -> None:
    assert rooms("pipeline").keys() == ALLOWED.keys()
    assert rooms("dashboard").keys() == FLOOR.keys()
    assert OF_PIPELINE.keys() <= FLOOR.keys()


def test_the_design_shows_the_tables_as_they_are() -> None:
    text = DESIGN.read_text(encoding="utf-8")
    assert written(text) == text, "write them anew: python tests/house.py"


def test_allowed_rooms_make_no_circle() -> None:
    rooms = dict(ALLOWED)
    while rooms:
        floor = {room for room, below in rooms.items() if not below & rooms.keys()}
        assert floor, f"a circle among {sorted(rooms)}"
        rooms = {room: below for room, below in rooms.items() if room not in floor}


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `code`."""
    tail = "\nimport sys; print('LOADED', *{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("LOADED")[2].split())


def exists(module: str) -> bool:
    path = ROOT.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@pytest.mark.parametrize("module", LIGHT)
def test_import_is_light(module: str) -> None:
    if not exists(module):
        pytest.skip(f"{module} is not built yet")
    assert not loaded_by(f"import {module}") & WITHOUT[module]


def test_help_is_light() -> None:
    if not exists("pipeline.__main__"):
        pytest.skip("pipeline.__main__ is not built yet")
    loaded = loaded_by(
        "import runpy, sys\n"
        "sys.argv = ['pipeline', '--help']\n"
        "try:\n"
        "    runpy.run_module('pipeline', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code"
    )
    assert not loaded & HEAVY


def test_loaded_by_sees() -> None:
    assert "json" in loaded_by("import json.decoder")
