"""A whole run of a tiny random CLIP over a few scenes, in seconds, with its model beside it."""

from pathlib import Path

import tiny
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.demo import CLIP_FOLDER

CONFIG = """
name = "tiny"
[examples]
shard_size = 20
training_tokens = 4
thumbnail = 32
[examples.source]
kind = "scenes"
count = 80
seed = 5
[models.clip]
id = "{clip}"
hooks = ["vision.1.resid_post", "vision.-1.resid_post", "vision.projection"]
[encoders.judge]
id = "{encoder}"
[dictionaries.patches]
kind = "batchtopk"
k = 4
training = {{ samples = 2000, batch = 128 }}
[dictionaries.cls]
kind = "batchtopk"
k = 4
tokens = "cls"
pooling = "mean"
training = {{ samples = 2000, batch = 128 }}
[dictionaries.neurons]
kind = "neurons"
[machine]
device = "cpu"
batch_size = 16
"""


def make_run(folder: Path, *, encoder: Path) -> Path:
    """Make `folder`/clip, a model, and `folder`/run, a run of it judged by `encoder`; `folder`."""
    tiny.clip(folder / "clip")
    file = folder / "tiny.toml"
    file.write_text(CONFIG.format(clip=folder / "clip", encoder=encoder), encoding="utf-8")
    result = CliRunner().invoke(app, ["run", str(file), "--out", str(folder / "run")])
    assert result.exit_code == 0, result.output
    return folder


SPEAKING = """
name = "speaking"
[examples]
shard_size = 20
training_tokens = 4
thumbnail = 32
[examples.source]
kind = "scenes"
count = 160
seed = 6
[models.clip]
id = "{clip}"
hooks = ["vision.2.resid_post", "vision.projection"]
[encoders.same]
id = "{clip}"
judges = false
[encoders.judge]
id = "{encoder}"
[dictionaries.cls]
kind = "batchtopk"
k = 6
expansion = 1
tokens = "cls"
pooling = "max"
training = {{ samples = 4000, batch = 256 }}
[relations]
maps = false
[machine]
device = "cpu"
batch_size = 32
"""


def make_speaking_run(folder: Path, *, encoder: Path, clip: Path = CLIP_FOLDER) -> Path:
    """The same of the shipped CLIP, which reads words, with itself among the encoders, or of
    another of three layers or more; `folder`."""
    file = folder / "speaking.toml"
    file.write_text(SPEAKING.format(clip=clip, encoder=encoder), encoding="utf-8")
    result = CliRunner().invoke(app, ["run", str(file), "--out", str(folder / "run")])
    assert result.exit_code == 0, result.output
    return folder
