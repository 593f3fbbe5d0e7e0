"""A checkpoint's own code is never run, whoever answers what at the terminal."""

import ast
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import tiny
import tiny_families as families

ROOT = Path(__file__).parents[1]
ALLOWED = {
    ("pipeline/models/loading.py", "from_pretrained"),
    ("pipeline/saes/published.py", "Lens"),
}
"""The one place, and sae-lens's class of the same method, which loads no model."""
CODE = """
import pathlib
pathlib.Path({mark!r}).write_text("ran")
from transformers import {base}
class Own({base}):
    pass
"""
OWN = {
    "config.json": ("AutoConfig", "CLIPConfig"),
    "preprocessor_config.json": ("AutoImageProcessor", "CLIPImageProcessor"),
    "processor_config.json": ("AutoProcessor", "LlavaProcessor"),
    "tokenizer_config.json": ("AutoTokenizer", "PreTrainedTokenizerFast"),
}


def calls() -> Iterator[tuple[str, ast.Call, ast.Attribute]]:
    for folder in ("pipeline", "dashboard", "scripts"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    yield file.relative_to(ROOT).as_posix(), node, node.func


def test_no_other_place_loads_without_saying_that_no_code_is_run() -> None:
    seen = 0
    for file, call, of in calls():
        name = of.value.id if isinstance(of.value, ast.Name) else ""
        if of.attr != "from_pretrained" and not (
            of.attr == "from_config" and name.startswith("Auto")
        ):
            continue
        seen += 1
        if {(file, of.attr), (file, name)} & ALLOWED:
            continue
        said = {k.arg: getattr(k.value, "value", None) for k in call.keywords}
        assert said.get("trust_remote_code", True) is False, f"{file}:{call.lineno}"
    assert seen > 4


def owned(folder: Path, file: str, mark: Path, *, unknown: bool) -> None:
    """Have a file of the folder name code of its own, which leaves a mark."""
    loader, base = OWN[file]
    (folder / "own.py").write_text(CODE.format(mark=str(mark), base=base))
    path = folder / file
    described = json.loads(path.read_text()) if path.exists() else {}
    described["auto_map"] = {loader: "own.Own"}
    if file == "config.json":
        described["auto_map"] |= {"AutoModel": "own.Own", "AutoModelForImageTextToText": "own.Own"}
        if unknown:
            described["model_type"] = "own-kind"
    path.write_text(json.dumps(described))


TRY = """
import json, sys
from pipeline import config, models
from pipeline.models.encoder import ImageEncoder
for kind, folder, device in json.loads(sys.argv[1]):
    try:
        if kind == "encoder":
            ImageEncoder(config.Encoder(id=folder), device=device)
        else:
            models.load(config.Model(id=folder, hooks=("vision.0.resid_post",)), device=device)
        print("loaded")
    except models.ModelError as error:
        print("refused:", error)
"""
CASES = [
    ("clip", "config.json", "cpu", False),
    ("clip", "config.json", "meta", True),
    ("clip", "preprocessor_config.json", "cpu", False),
    ("encoder", "config.json", "cpu", True),
    ("encoder", "preprocessor_config.json", "meta", False),
    ("llava", "config.json", "meta", False),
    ("llava", "config.json", "cpu", True),
    ("llava", "processor_config.json", "cpu", False),
    ("llava", "tokenizer_config.json", "cpu", False),
]


def answered(cases: list[tuple[str, str, str]], modules: Path) -> list[str]:
    """What loading says of each case at a terminal where every question is answered `y`."""
    ours, theirs = pty.openpty()
    os.write(ours, b"y\n" * 99)
    made = subprocess.run(
        [sys.executable, "-c", TRY, json.dumps(cases)],
        stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        timeout=300, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_MODULES_CACHE": str(modules)},
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert "[y/N]" not in made.stdout
    return [line for line in made.stdout.splitlines() if line.startswith(("loaded", "refused:"))]


def test_code_of_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    clip, cases = tiny.clip(tmp_path / "clip"), []
    for number, (kind, file, device, unknown) in enumerate(CASES):
        base = families.folder("llava") if kind == "llava" else clip
        folder = shutil.copytree(base, tmp_path / f"own{number}")
        owned(folder, file, tmp_path / f"mark{number}", unknown=unknown)
        cases.append((kind, str(folder), device))
    said = answered(cases, tmp_path / "modules")
    assert not list(tmp_path.glob("mark*"))
    assert len(said) == len(CASES)
    for line, (*_, unknown) in zip(said, CASES, strict=True):
        if unknown:
            assert "comes with code of its own, which is never run here" in line
