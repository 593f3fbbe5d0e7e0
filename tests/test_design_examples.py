"""The examples of docs/design.md, "How to add": each is taken from there and used."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_families
import torch
from house import DESIGN, ROOT
from safetensors.torch import save_file
from synthetic import make_bundle

BLOCK = re.compile(r"```python\n# ([\w/.]+?)(?:, in (\w+))?\n(.*?)```", re.DOTALL)
Project = Callable[[str], Path]


def part(title: str) -> str:
    """The text below a heading of the third order."""
    text = DESIGN.read_text(encoding="utf-8")
    assert f"\n### {title}\n" in text, title
    return text.partition(f"\n### {title}\n")[2].partition("\n### ")[0].partition("\n## ")[0]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """project(TITLE) -> a copy of the project in which the examples below TITLE were followed."""

    def made(title: str) -> Path:
        copy = tmp_path / "project"
        for house in ("pipeline", "dashboard"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / house, copy / house, ignore=ignored)
        shutil.copytree(ROOT / ".streamlit", copy / ".streamlit")
        blocks = BLOCK.findall(part(title))
        assert blocks, f"{title} has no example"
        for name, place, code in blocks:
            follow(copy / name, place, code)
        return copy

    return made


def follow(file: Path, place: str, code: str) -> None:
    """Write a new file, or put an entry at the head of a list in one that is there."""
    if not place:
        assert not file.exists(), f"{file} is there already"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code, encoding="utf-8")
        return
    text = file.read_text(encoding="utf-8")
    head = re.search(rf"^{place}\b[^\n]*[(\[{{]\n", text, re.MULTILINE)
    assert head, f"{file} has no list {place}"
    lines = "".join(f"    {line}\n" for line in f"{code.rstrip()},".splitlines())
    file.write_text(text[: head.end()] + lines + text[head.end() :], encoding="utf-8")


def python(copy: Path, code: str, *arguments: object) -> str:
    """What a script says that runs in the copy."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], cwd=copy, capture_output=True,
        text=True, check=False, env=os.environ | {"PYTHONPATH": str(copy)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_model_family(project: Project) -> None:
    code = """
import sys
from pipeline import config, models
assert "gemma3" in config.FAMILIES
model = models.load(config.Model(id=sys.argv[1], hooks=["vision.0.resid_post"]), device="cpu")
print(type(model).__name__, model.prompt)
"""
    said = python(project("A model family"), code, tiny_families.folder("gemma3"))
    assert said == "Gemma3Adapter Describe this image in one sentence.\n"


def test_an_sae_format(project: Project, tmp_path: Path) -> None:
    folder, (d, s) = tmp_path / "sae", (6, 10)
    folder.mkdir()
    torch.manual_seed(0)
    encoder, decoder = torch.nn.Linear(d, s).double(), torch.nn.Linear(s, d).double()
    for name, layer in (("encoder", encoder), ("decoder", decoder)):
        tensors = {key: value.detach().float() for key, value in layer.named_parameters()}
        save_file(tensors, folder / f"{name}.safetensors")
    x = torch.randn(5, d).double()
    torch.save(x.float(), tmp_path / "x.pt")
    code = """
import sys, torch
from pipeline.saes import published
sae = published.load(sys.argv[1])
x = torch.load(sys.argv[2], weights_only=True)
codes = sae.encode(x)
torch.save((codes, sae.decode(codes)), sys.argv[3])
"""
    python(project("An SAE format"), code, folder, tmp_path / "x.pt", tmp_path / "made.pt")
    codes, rebuilt = torch.load(tmp_path / "made.pt", weights_only=True)
    wanted = torch.relu(encoder(x))
    torch.testing.assert_close(codes.double(), wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(rebuilt.double(), decoder(wanted), atol=1e-5, rtol=1e-5)


def test_a_page(project: Project, tmp_path: Path) -> None:
    code = """
import sys
from streamlit.testing.v1 import AppTest
bundle = sys.argv[1]
sys.argv = ["app.py", bundle]
at = AppTest.from_file("dashboard/app.py", default_timeout=120).run()
at.switch_page("views/sizes/page.py").run()
assert not at.exception, at.exception
print(*(text.value for text in at.text), sep="\\n")
"""
    said = python(project("A page"), code, make_bundle(tmp_path / "bundle"))
    assert re.search(r"vision\.0 / matryoshka: 48 features, \d+ dead", said), said
