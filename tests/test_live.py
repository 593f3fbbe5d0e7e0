"""The live model: a fair queue, what is kept, and the same codes as the pipeline's."""

import io
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_run import make_run

from dashboard import queries
from dashboard.bundle import opening
from dashboard.live import image_features, models
from dashboard.live.lru import Kept
from dashboard.live.queue import Turns
from dashboard.live.share import Share
from dashboard.records.dictionaries import Dictionary

Opened = Callable[[Path], opening.Run]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A folder with a model and a finished run of it, which tests may change and put back."""
    return make_run(tmp_path_factory.mktemp("live"), encoder=tiny_encoder)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """opened(RUN): as a page opens it, with nothing loaded yet."""
    models.shared.clear()

    def start(path: Path) -> opening.Run:
        monkeypatch.setattr(sys, "argv", ["app.py", str(path)])
        return opening.current()

    return start


@pytest.fixture
def run(home: Path, opened: Opened) -> opening.Run:
    return opened(home / "run")


def dictionary(run: opening.Run, name: str, layer: str = "1") -> Dictionary:
    every = queries.dictionaries(run.connection)
    return next(d for d in every if d.name == name and f".{layer}" in d.hook)


def picture(run: opening.Run, example_id: int) -> models.Picture:
    example = queries.examples(run.connection, [example_id])[example_id]
    return models.original(run, example, queries.sha256(run.connection, example_id))


def some_example(run: opening.Run) -> int:
    return queries.drawn(run.connection, 0, limit=1)[0].example_id


# --- The share of the model ---


def test_pages_run_while_the_model_gives_way_and_not_beside_it() -> None:
    share, log, waits = Share(least=0.0, patience=30.0), [], threading.Barrier(4)

    def page(name: int) -> None:
        with share.page():
            waits.wait()
        waits.wait()
        with share.page():
            log.append(f"{name} in")
            log.append(f"{name} out")

    pages = [threading.Thread(target=page, args=(name,)) for name in range(3)]
    for each in pages:
        each.start()
    waits.wait()  # nobody waits where no model works
    with share.model():
        waits.wait()
        while len(share._waiting) < 3:
            time.sleep(0.001)
        assert log == []
        time.sleep(0.05)
        share.give_way()
        while share._waiting:  # it has given way as long as it had worked
            share.give_way()
    for each in pages:
        each.join(30)
    assert [one.split()[1] for one in log] == ["in", "out"] * 3
    assert [log[n].split()[0] for n in (0, 2, 4)] == [log[n].split()[0] for n in (1, 3, 5)]


def test_no_page_waits_for_ever_and_no_model_for_a_page() -> None:
    share = Share(least=0.0, patience=0.05)
    stay, inside = threading.Event(), threading.Event()

    def page() -> None:
        with share.page():
            inside.set()
            stay.wait(30)

    with share.model():
        pages = [threading.Thread(target=page) for _ in range(2)]
        for each in pages:
            each.start()
        assert inside.wait(30), "it runs beside the model after all"
        share.give_way()
    stay.set()
    for each in pages:
        each.join(30)
    with share.page():
        pass


def test_the_page_that_asks_a_model_holds_no_page_up() -> None:
    share, order = Share(least=0.0, patience=30.0), []

    def asks() -> None:
        with share.page():
            share.leave()
            order.append("waits for the model")
            done.wait(30)

    done = threading.Event()
    with share.model():
        first = threading.Thread(target=asks)
        first.start()
        while not share._waiting:
            time.sleep(0.001)
        time.sleep(0.01)
        share.give_way()  # comes back though that page is not over
        assert order == ["waits for the model"]
        done.set()
        first.join(30)


# --- The queue ---


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    pytest.fail("it never came to that")


def test_turns_come_in_order_and_one_at_a_time() -> None:
    turns, served, inside = Turns(), [], []
    hold = threading.Event()

    def visitor(number: int) -> None:
        with turns.turn(every=0.01):
            inside.append(number)
            assert inside == [number]
            if number == 0:
                hold.wait(10)
            served.append(number)
            inside.remove(number)

    threads = []
    for number in range(6):
        threads.append(threading.Thread(target=visitor, args=(number,)))
        threads[-1].start()
        wait_for(lambda: len(turns) == len(threads))
    hold.set()
    for thread in threads:
        thread.join(10)
    assert served == list(range(6))
    assert len(turns) == 0


def test_one_is_told_ones_place_and_leaving_frees_it() -> None:
    turns, places = Turns(), []
    hold, left = threading.Event(), threading.Event()

    def first() -> None:
        with turns.turn():
            hold.wait(10)

    def leaves() -> None:
        def gone(before: int) -> None:
            if left.is_set():
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt), turns.turn(gone, every=0.01):
            pytest.fail("who left is served")

    def last() -> None:
        with turns.turn(places.append, every=0.01):
            places.append(0)

    threads = [threading.Thread(target=each) for each in (first, leaves, last)]
    for count, thread in enumerate(threads, 1):
        thread.start()
        wait_for(lambda count=count: len(turns) == count)
    wait_for(lambda: places[-1:] == [2])
    left.set()
    wait_for(lambda: places[-1] == 1)
    hold.set()
    for thread in threads:
        thread.join(10)
    assert places[-1] == 0
    assert len(turns) == 0


def test_an_error_frees_the_queue() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="broken"), turns.turn():
        raise ValueError("broken")
    with turns.turn():
        assert len(turns) == 1


def test_kept_forgets_the_least_recently_used_and_no_failure() -> None:
    kept: Kept[int] = Kept(2)
    made = []

    def make(key: str) -> int:
        return kept.get(key, lambda: made.append(key) or len(made))

    assert [make("a"), make("b"), make("a"), make("c"), make("a")] == [1, 2, 1, 3, 1]
    assert "b" not in kept
    with pytest.raises(ZeroDivisionError):
        kept.get("d", lambda: 1 // 0)
    assert "d" not in kept
    assert kept.get("d", lambda: 7) == 7


# --- The same codes as the pipeline's ---


@pytest.mark.parametrize("layer", ["1", "2", "projection"])
@pytest.mark.parametrize("name", ["patches", "cls"])
def test_pooled_codes_are_the_tables(run: opening.Run, name: str, layer: str) -> None:
    one = dictionary(run, name, layer)
    seen = 0
    for example in queries.drawn(run.connection, 1, limit=5):
        found = models.fired(run, one, picture(run, example.example_id))
        features, acts = queries.fired(run.connection, one.dictionary_id, example.example_id)
        assert dict(zip(found.feature.tolist(), found.activation.tolist(), strict=True)) == (
            pytest.approx(dict(zip(features.tolist(), acts.tolist(), strict=True)), rel=1e-4)
        )
        assert list(found.activation) == sorted(found.activation, reverse=True)
        seen += len(features)
        assert found.changed == ""
    assert seen


@pytest.mark.parametrize("name", ["patches", "cls"])
def test_patch_codes_are_the_pipelines(run: opening.Run, name: str) -> None:
    """Every stored heat map of the strongest images, patch by patch."""
    one = dictionary(run, name)
    compared = 0
    for feature_id in range(one.d_sae):
        feature = queries.feature(run.connection, one.dictionary_id, feature_id)
        assert feature is not None
        for top in feature.top[:2]:
            found = models.fired(run, one, picture(run, top.example_id))
            of = found.cell_feature == feature_id
            here = dict(zip(found.cell[of].tolist(), found.cell_activation[of], strict=True))
            stored = dict(zip(top.patches, top.patch_acts, strict=True))
            assert here == pytest.approx(stored, rel=1e-4)
            compared += len(stored)
    assert compared > 50


def test_neurons_are_the_tables(run: opening.Run) -> None:
    one = dictionary(run, "neurons")
    example_id = some_example(run)
    found = models.fired(run, one, picture(run, example_id))
    features, acts = queries.fired(run.connection, one.dictionary_id, example_id)
    here = dict(zip(found.feature.tolist(), found.activation.tolist(), strict=True))
    assert len(here) == one.d_in
    assert [here[f] for f in features.tolist()] == pytest.approx(acts.tolist(), rel=1e-4)


def test_of_tokens_that_share_a_patch_the_strongest_counts() -> None:
    arrays = (np.array([1, 1, -1, 0, 1]), np.array([5, 5, 5, 2, 3]))
    value = np.array([1, 4, 9, 2, 5], np.float32)
    cell, feature, act = image_features.by_patch(*arrays, value)
    assert list(zip(cell.tolist(), feature.tolist(), act.tolist(), strict=True)) == [
        (0, 2, 2), (1, 3, 5), (1, 5, 4),
    ]  # fmt: skip


def test_the_model_loads_once_for_all(run: opening.Run) -> None:
    one = dictionary(run, "patches")
    seen: list[object] = []

    def visitor() -> None:
        with models.studied(run, one.model) as at:
            seen.append(at.adapter)

    threads = [threading.Thread(target=visitor) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 4
    assert len(set(map(id, seen))) == 1


# --- Encoders ---


def test_an_image_is_embedded_as_the_pipeline_did(run: opening.Run) -> None:
    ids, vectors = run.bundle.embeddings("judge")
    mine = models.embed_image(run, "judge", picture(run, int(ids[3])).image)
    assert mine == pytest.approx(vectors[3], abs=1e-4)


def test_an_encoder_that_embeds_no_words_says_so(run: opening.Run) -> None:
    with pytest.raises(models.Unavailable, match="judge embeds no words"):
        models.embed_words(run, "judge", ("a heart",))
    with pytest.raises(models.Unavailable, match="how to load nobody"):
        models.embed_words(run, "nobody", ("a heart",))


# --- What is missing is one line ---


def test_a_missing_model_is_named_and_found_again(run: opening.Run, home: Path) -> None:
    one, example_id = dictionary(run, "patches"), some_example(run)
    shown = picture(run, example_id)
    (home / "clip").rename(home / "gone")
    try:
        with pytest.raises(models.Unavailable, match="clip: no such folder"):
            models.fired(run, one, shown)
    finally:
        (home / "gone").rename(home / "clip")
    assert len(models.fired(run, one, shown).feature)
    assert len(models.shared().turns) == 0


def test_a_changed_model_is_told(home: Path, opened: Opened, tmp_path: Path) -> None:
    copied = shutil.copytree(home / "run", tmp_path / "run", symlinks=True)
    file = copied / "bundle" / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["seal"], manifest["files"]  # as one of before: a changed one is known by these
    manifest["models"]["clip"]["fingerprint"] = "another"
    file.write_text(json.dumps(manifest))
    run = opened(copied)
    found = models.fired(run, dictionary(run, "patches"), picture(run, some_example(run)))
    assert "has changed since the bundle was made" in found.changed


def test_a_missing_or_damaged_sae_is_named(home: Path, opened: Opened, tmp_path: Path) -> None:
    copied = shutil.copytree(home / "run", tmp_path / "run", symlinks=True)
    run = opened(copied)
    one, shown = dictionary(run, "patches"), picture(run, some_example(run))
    folder = run.bundle.sae(one.dictionary_id)
    weights = folder / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(models.Unavailable, match="sae_weights"):
        models.fired(run, one, shown)
    shutil.rmtree(folder)
    with pytest.raises(models.Unavailable, match="is not in the bundle's folder saes/"):
        models.fired(run, one, shown)
    assert len(models.fired(run, dictionary(run, "neurons"), shown).feature)


def test_a_bundle_without_settings_says_so(home: Path, opened: Opened, tmp_path: Path) -> None:
    copied = shutil.copytree(home / "run", tmp_path / "run", symlinks=True)
    file = copied / "bundle" / "manifest.json"
    manifest = json.loads(file.read_text())
    del manifest["seal"], manifest["files"]  # as one of before: a changed one is known by these
    shown = picture(opened(copied), some_example(opened(copied)))
    manifest["config"]["models"]["clip"]["family"] = "of tomorrow"
    file.write_text(json.dumps(manifest))
    run = opened(copied)
    with pytest.raises(models.Unavailable, match="another version of Loupe"):
        models.fired(run, dictionary(run, "patches"), shown)
    del manifest["config"]
    file.write_text(json.dumps(manifest))
    run = opened(copied)
    with pytest.raises(models.Unavailable, match="does not say how to load clip"):
        models.fired(run, dictionary(run, "patches"), shown)
    example = queries.drawn(run.connection, 0, limit=1)[0]
    with pytest.raises(models.Unavailable, match="where its images come from"):
        models.original(run, example, "")


def test_memory_that_is_not_enough_is_told_and_the_next_one_works(
    run: opening.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, shown = dictionary(run, "patches"), picture(run, some_example(run))
    with models.studied(run, one.model) as at:
        model = at.adapter

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with monkeypatch.context() as patched:
        patched.setattr(model, "forward", full)
        with pytest.raises(models.Unavailable, match="out of memory"):
            models.fired(run, one, shown)
    assert len(models.fired(run, one, shown).feature)


def test_another_picture_under_the_same_name_is_refused(run: opening.Run) -> None:
    example = queries.drawn(run.connection, 0, limit=1)[0]
    with pytest.raises(models.Unavailable, match="another picture than when"):
        models.original(run, example, "0" * 64)


# --- Images that visitors give ---


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_given_images_come_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = models.opened(file_of(Image.new("RGB", (40, 20)), "JPEG", exif=exif))
    assert (turned.size, turned.mode) == ((20, 40), "RGB")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<svg onload='x'/>", "not an image that is read"),
        (b"", "not an image"),
        (file_of(Image.new("RGB", (64, 64), "red"), "PNG")[:90], "damaged or truncated"),
        (file_of(Image.new("1", (9000, 9000)), "PNG"), "81.0 million pixels"),
    ],
)
def test_hostile_images_are_one_line(content: bytes, said: str) -> None:
    with pytest.raises(models.Unavailable, match=said) as caught:
        models.opened(content)
    assert "\n" not in str(caught.value)
