"""What can be known of a run is told before any of its work, all at once, one line each."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import tiny
import torch
from run_commands import command, done, toml

from pipeline import config, preflight
from pipeline.inputs import listing, readers
from pipeline.preflight import space
from pipeline.run import plan
from pipeline.run.workspace import Workspace
from pipeline.saes.sae import SAE

ROOT = Path(__file__).parents[1]
FEW = 'kind = "scenes"\ncount = 40\nseed = 5'
THEIRS = """
[dictionaries.{name}]
kind = "published"
sources = {{ "{hook}" = "{source}" }}
"""


def sae(folder: Path, *, d_in: int = tiny.WIDTH) -> Path:
    """A sae-lens folder of random weights."""
    draw = torch.Generator().manual_seed(3)
    one = SAE(
        W_enc=torch.randn(d_in, 24, generator=draw),
        b_enc=torch.randn(24, generator=draw),
        W_dec=torch.randn(24, d_in, generator=draw),
        b_dec=torch.randn(d_in, generator=draw),
        activation="relu",
    )
    one.save(folder, model="m", hook="h", facts={})
    return folder


def lines(*arguments: object) -> list[str]:
    """What a command that must fail says, line by line."""
    result = command(*arguments)
    assert result.exit_code == 2, result.output
    return result.output.strip().splitlines()


def nothing_made(home: Path) -> bool:
    return not list(home.glob("parts/*/*"))


def test_all_faults_are_told_at_once_before_any_work(
    tiny_clip: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    cut = sae(tmp_path / "cut") / "sae_weights.safetensors"
    cut.write_bytes(cut.read_bytes()[:900])
    sae(tmp_path / "wide", d_in=tiny.WIDTH + 1)
    spoilt = sae(tmp_path / "spoilt")
    weights = SAE.load(spoilt)
    weights.W_dec[3, 4] = float("nan")
    weights.save(spoilt, model="m", hook="h", facts={})
    text = toml(clip=tiny_clip, encoder=tiny_encoder, source=FEW, k=9999)
    for name in ("cut", "wide", "spoilt"):
        text += THEIRS.format(name=name, hook="vision.1.resid_post", source=tmp_path / name)
    text += "[labels]\nencoder = 'judge'\nvocabulary = '%s'\n" % (tmp_path / "words.txt")
    (tmp_path / "words.txt").write_text("# none\n")
    file = tmp_path / "run.toml"
    file.write_text(text)
    told = lines("run", file, "--out", tmp_path / "run")
    wanted = (
        (str(cut), "holds 900 of the"),
        ("dictionaries.wide", f"reads {tiny.WIDTH + 1} dimensions", "vision.1.resid_post"),
        (str(spoilt / "sae_weights.safetensors"), "W_dec", "NaN"),
        ("dictionaries.batchtopk", "k = 9999"),
        ("dictionaries.matryoshka", "k = 9999"),
        ("words.txt", "holds no word"),
    )
    for parts in wanted:
        assert any(all(part in line for part in parts) for line in told), (parts, told)
    assert len(told) == len(wanted) + 1, told  # batchtopk once a width: d_in of the projection
    assert nothing_made(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hooks": '"vision.9.resid_post"'}, "vision.9"),
        ({"tokens": "text"}, "tokens = 'text'"),
        ({"judge": "gone"}, "config"),
        ({"judge": "empty"}, "the folder cannot be loaded"),
    ],
    ids=str,
)
def test_models_hooks_and_judges(
    change: dict[str, str], named: str, tiny_clip: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    judge = tmp_path / "judge"
    shutil.copytree(tiny_encoder, judge)
    if "judge" in change:
        (judge / "config.json").unlink()
        if change["judge"] == "empty":
            (judge / "config.json").write_text("{}")
    file = tmp_path / "run.toml"
    file.write_text(
        toml(clip=tiny_clip, encoder=judge, source=FEW)
        if "judge" in change
        else toml(clip=tiny_clip, encoder=judge, source=FEW, **change)
    )
    told = lines("run", file, "--out", tmp_path / "run")
    assert any(named in line for line in told), told
    assert nothing_made(tmp_path / "run")


def test_an_sae_of_another_width_after_its_train_unit_was_made(
    tiny_clip: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    """The source may be gone by then; its part says how wide it is."""
    theirs = sae(tmp_path / "theirs", d_in=tiny.WIDTH + 1)
    file = tmp_path / "run.toml"
    text = toml(clip=tiny_clip, encoder=tiny_encoder, source=FEW)
    file.write_text(text + THEIRS.format(name="x", hook="vision.1.resid_post", source=theirs))
    run = config.load(file)
    found = listing.listing(run.examples, source=readers.reader(run.examples.source))
    plans, workspace = plan.plans(run, found), Workspace(tmp_path / "run")
    unit = next(u for u in plans["train"].units if u.spec["place"].dictionary == "x")
    with workspace.making("train", unit.key) as (folder, _):
        SAE.load(theirs).save(folder, model="m", hook="h", facts={})
    with pytest.raises(preflight.PreflightError, match=r"dictionaries\.x: its SAE reads 33"):
        preflight.check(run, plans, workspace)


def checked(file: Path, home: Path) -> list[str]:
    """What the look at a run says that is no fault."""
    run = config.load(file)
    found = listing.listing(run.examples, source=readers.reader(run.examples.source))
    return preflight.check(run, plan.plans(run, found), Workspace(home))


@pytest.mark.parametrize(
    ("stated", "other"),
    [
        ("blocks.1.hook_resid_post", False),
        ("blocks.2.hook_resid_pre", False),
        ("vision.-2.resid_post", False),
        ("h", False),
        ("blocks.2.hook_resid_post", True),
        ("vision_model.encoder.layers.0", True),
    ],
)
def test_an_sae_of_another_layer_is_said(
    stated: str, other: bool, tiny_clip: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    theirs = sae(tmp_path / "theirs")
    SAE.load(theirs).save(theirs, model="m", hook=stated, facts={})
    file = tmp_path / "run.toml"
    text = toml(clip=tiny_clip, encoder=tiny_encoder, source=FEW)
    file.write_text(text + THEIRS.format(name="x", hook="vision.1.resid_post", source=theirs))
    notes = checked(file, tmp_path / "run")
    assert bool(notes) == other, notes
    assert all(stated in note and "vision.1.resid_post" in note for note in notes)


@pytest.fixture(scope="module")
def finished(tiny_clip: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, and of its config."""
    home = tmp_path_factory.mktemp("finished")
    theirs = sae(home / "theirs")
    text = toml(clip=tiny_clip, encoder=tiny_encoder, source=FEW)
    text += THEIRS.format(name="theirs", hook="vision.1.resid_post", source=theirs)
    (home / "run.toml").write_text(text)
    umask = os.umask(0o027)
    try:
        done("run", home / "run.toml", "--out", home / "run")
    finally:
        os.umask(umask)
    return home


def test_a_finished_run_imports_nothing_for_it(finished: Path) -> None:
    (finished / "theirs" / "cfg.json").read_text()  # there, but not opened
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['pipeline', 'run', {str(finished / 'run.toml')!r}, "
        f"'--out', {str(finished / 'run')!r}]\n"
        "try:\n    runpy.run_module('pipeline', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "print('LOADED', *sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    loaded = set(ran.stdout.rpartition("LOADED")[2].split())
    assert "pipeline.preflight" in loaded
    assert not loaded & {"torch", "transformers", "huggingface_hub"}


def test_every_file_of_a_run_has_the_mode_of_the_umask(finished: Path) -> None:
    files = [path for path in (finished / "run").rglob("*") if path.is_file()]
    modes = {(path.suffix, oct(path.stat().st_mode & 0o777)) for path in files}
    assert (".safetensors", "0o640") in modes
    assert {mode for _, mode in modes} == {"0o640"}, modes


def test_the_least_that_a_run_writes_is_less_than_it_writes(finished: Path, tmp_path: Path) -> None:
    from pipeline import models
    from pipeline.activations import points as activations_points

    run = config.load(finished / "run.toml")
    found = listing.listing(run.examples, source=readers.reader(run.examples.source))
    plans = plan.plans(run, found)
    clip = models.load(run.models["clip"], device="meta")
    points = activations_points.points(run, clip, name="clip")
    numbers = {place: 2 * point.d_in * 2 * point.d_in for place, point in points.items()}
    need = space.wanted(run, {step: p.units for step, p in plans.items()}, points, numbers)
    written = sum(p.stat().st_size for p in (finished / "run").rglob("*.safetensors"))
    assert written / 8 < need.least < written
    assert need.least <= need.likely


def test_a_disk_that_is_too_small(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free._replace(free=20_000))
    told = lines("run", finished / "run.toml", "--out", tmp_path / "run")
    assert len(told) == 1
    assert "19.5 KiB are free" in told[0] and str(tmp_path / "run") in told[0]
    assert nothing_made(tmp_path / "run")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free._replace(free=300_000))
    assert "may write" in str(space.refuse(tmp_path / "run", space.Bytes(1000, 290_000)))
    assert space.refuse(tmp_path / "run", space.Bytes(1000, 2000)) is None


# --- The hub, as a server here ---


class Hub(BaseHTTPRequestHandler):
    """Knows `owner/there` and answers nothing for `owner/silent`."""

    asked: ClassVar[list[str]] = []
    over = threading.Event()

    def do_HEAD(self) -> None:
        self.asked.append(self.path)
        if "silent" in self.path:
            self.over.wait(60)
            return
        there = "owner/there" in self.path
        self.send_response(200 if there else 401 if "gated" in self.path else 404)
        if there:
            self.send_header("ETag", '"1"')
            self.send_header("X-Repo-Commit", "a" * 40)
        code = "GatedRepo" if "gated" in self.path else "RepoNotFound"
        self.send_header("X-Error-Code", "RevisionNotFound" if "/v9/" in self.path else code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD  # noqa: N815, so the server calls it

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of a hub."""
    Hub.asked.clear()
    Hub.over.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    Hub.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def away(endpoint: str, cache: Path, *arguments: object, **more: str) -> tuple[int, list[str]]:
    """The exit code and lines of a command, in a process that knows another hub."""
    env = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_OFFLINE": "0"}
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=False, env=env | more,
    )  # fmt: skip
    return ran.returncode, (ran.stdout + ran.stderr).strip().splitlines()


def named(tmp_path: Path, encoder: Path, clip: object, **more: str) -> Path:
    file = tmp_path / "run.toml"
    file.write_text(toml(clip=clip, encoder=encoder, source=FEW, **more))
    return file


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("owner/nowhere", "the hub has no such model"),
        ("owner/gated", "gated; accept its terms"),
        ("owner/silent", "the hub cannot be reached"),
    ],
)
def test_a_name_is_tried_once(
    name: str, told: str, hub: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    file = named(tmp_path, tiny_encoder, name)
    code, said = away(hub, tmp_path / "cache", "run", file, "--out", tmp_path / "run")
    assert code == 2
    assert len(said) == 1, said  # of a model that is an encoder too
    assert said[0].startswith(f"error: models.clip.id {name}: ") and told in said[0]
    # The hub's own library asks for more, but not of the repository.
    assert len([path for path in Hub.asked if name in path]) == 1
    assert nothing_made(tmp_path / "run")


def test_a_hub_that_is_not_there(tiny_encoder: Path, tmp_path: Path) -> None:
    file = named(tmp_path, tiny_encoder, "owner/model")
    text = file.read_text() + THEIRS.format(
        name="x", hook="vision.1.resid_post", source="hf:owner/saes/a"
    )
    file.write_text(text)
    code, said = away("http://127.0.0.1:9", tmp_path / "cache", "run", file)
    assert code == 2
    keys = ("models.clip.id", "dictionaries.x.sources")
    assert [line.removeprefix("error: ").split()[0] for line in said] == list(keys)
    assert all("cannot be reached" in line for line in said), said
    code, said = away("http://127.0.0.1:9", tmp_path / "cache", "run", file, HF_HUB_OFFLINE="1")
    assert code == 2
    assert all("HF_HUB_OFFLINE is set" in line for line in said), said
    code, said = away("http://127.0.0.1:9", tmp_path / "cache", "hooks", file)
    assert code == 2 and len(said) == 1 and "models.clip.id owner/model" in said[0]


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_cached_copy_does_without_the_hub(
    offline: str, tiny_clip: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    repo = tmp_path / "cache" / "hub" / "models--owner--clip"
    shutil.copytree(tiny_clip, repo / "snapshots" / ("a" * 40))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)
    file = named(tmp_path, tiny_encoder, "owner/clip")
    where = ("http://127.0.0.1:9", tmp_path / "cache")
    code, said = away(*where, "hooks", file, HF_HUB_OFFLINE=offline)
    assert code == 0, said
    assert said[0] == "clip: owner/clip" and any("vision.1.resid_post" in line for line in said)
    assert not any("Retrying" in line for line in said)


def test_a_data_set_that_is_nowhere(
    hub: str, tiny_clip: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    source = 'kind = "huggingface"\ndataset = "owner/nowhere"'
    file = named(tmp_path, tiny_encoder, tiny_clip)
    file.write_text(file.read_text().replace(FEW, source))
    code, said = away(hub, tmp_path / "cache", "run", file)
    assert code == 2
    assert (
        len(said) == 1
        and "examples.source.dataset owner/nowhere: the hub has no such dataset" in said[0]
    )
