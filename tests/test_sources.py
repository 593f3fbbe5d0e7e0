"""What sources hold: a CSV's faults with their lines, columns by type, folders of all kinds."""

import os
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline import config
from pipeline.inputs import examples, listing, readers, reading
from pipeline.inputs.pictures import Unreadable
from pipeline.inputs.sources import ExampleError


def pictures(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(root / name, "PNG")


def reader(root: Path, captions: Path | None = None) -> readers.FolderReader:
    return readers.FolderReader(config.Folder(kind="folder", path=root, captions=captions))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    pictures(tmp_path / "photos", "a.jpg", "b.jpg", "sub/c.jpg")
    return tmp_path / "photos"


def told(root: Path, content: str | bytes) -> tuple[dict[str, examples.Example], list[str]]:
    table = root.parent / "captions.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    source = reader(root, table)
    found = {e.uri: e for e in source.examples()}
    assert all("\n" not in note for note in source.notes)
    return found, source.notes


def said(root: Path, content: str | bytes) -> dict[str, tuple[str, ...]]:
    return {uri: e.captions for uri, e in told(root, content)[0].items() if e.captions}


# --- CSVs that mean what they say, however they are written ---

WRITTEN = {
    "blanks after commas": "image, caption\na.jpg, a dog\n",
    "capitals": "Image,CAPTION\na.jpg,a dog\n",
    "semicolons": "image;caption\na.jpg;a dog\n",
    "tabs": "image\tcaption\na.jpg\ta dog\n",
    "byte order mark": "\ufeffimage,caption\na.jpg,a dog\n",
    "Windows' line ends": "image,caption\r\na.jpg,a dog\r\n",
    "old line ends": "image,caption\ra.jpg,a dog\r",
    "quotes after a blank": 'image, caption\na.jpg, "a dog"\n',
    "blank lines": "\n\nimage,caption\n\na.jpg,a dog\n  \n,\n",
    "empty cells at the end": "image,caption,,\na.jpg,a dog,,\n",
    "another order": "caption,image\na dog,a.jpg\n",
    "a dot": "image,caption\n./a.jpg,a dog\n",
    "blanks around names": "image,caption\n  a.jpg ,  a dog \n",
}


@pytest.mark.parametrize("content", WRITTEN.values(), ids=WRITTEN)
def test_forms_of_a_csv(root: Path, content: str) -> None:
    assert said(root, content) == {"a.jpg": ("a dog",)}


def test_names_written_otherwise_find_their_image(root: Path) -> None:
    accented = unicodedata.normalize("NFD", "é.jpg")
    pictures(root, accented)
    lines = ["sub\\c.jpg,one", "./sub//c.jpg,two", f"{root.absolute()}/a.jpg,three", "é.jpg,four"]
    found = said(root, "image,caption\n" + "\n".join(lines))
    assert found == {"sub/c.jpg": ("one", "two"), "a.jpg": ("three",), accented: ("four",)}


def test_of_two_names_that_look_alike_each_keeps_its_own(root: Path) -> None:
    one, other = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    pictures(root, one, other)
    found = said(root, f"image,caption\n{one},composed\n{other},in parts\n")
    assert found == {one: ("composed",), other: ("in parts",)}


def test_commas_quotes_and_line_ends_within_quotes(root: Path) -> None:
    found, notes = told(
        root, 'image,caption\na.jpg,"a dog, a ""cat""\nand a bird"\nb.jpg,a "red" car\n'
    )
    assert found["a.jpg"].captions == ('a dog, a "cat"\nand a bird',)
    assert found["b.jpg"].captions == ('a "red" car',)
    assert any("line 2: a text over several lines" in note for note in notes)


REFUSED = {
    "commas without quotes": (
        "image,caption\nb.jpg,fine\na.jpg,a dog, a cat and a bird\nb.jpg,x, y\n",
        "2 lines (3, 4): more fields than the 2 of the header; put texts with commas into quotes",
    ),
    "semicolons without quotes": ("image;caption\na.jpg;a; b\n", "line 2: more fields"),
    "names of datasets": (
        "file_name,text\na.jpg,x\n",
        "no column `image`, but `file_name`, `text`; rename `file_name` to `image`, `text` to",
    ),
    "Flickr30k": (
        "image_name| comment_number| comment\na.jpg| 0| A dog .\n",
        "rename `image_name` to `image`, `comment` to `caption`, with commas between",
    ),
    "LAION": ("url,key,TEXT\nhttp://x/a.jpg,1,a\n", "rename `key` to `image`, `text` to `caption`"),
    "no header": ("a.jpg,a dog\nb.jpg,x\n", "the header is missing; begin a CSV with the line"),
    "text without a column": ("image,text\na.jpg,x\n", "rename `text` to `caption`"),
    "image alone": ("image\na.jpg\n", "neither a column `caption` nor `label`"),
    "a column twice": ("image,caption,Caption\na.jpg,x,y\n", "2 columns `caption`; keep one"),
    "JSON lines": ('{"image": "a.jpg"}\n', "JSON, no CSV"),
    "a header alone": ("image,caption\n", "no line names an image"),
    "an open quote": (
        'image,caption\nb.jpg,x\na.jpg,"a dog\nb.jpg,a cat\n',
        "line 3: a quote is opened that never closes",
    ),
    "a quote that takes in lines": (
        'image,caption\na.jpg,"a dog\nb.jpg,a cat\nsub/c.jpg,x"\n',
        "a quote that opens in line 2 takes in line 3, `b.jpg,a cat`",
    ),
    "text after a quote": ('image,caption\na.jpg,"a" dog\n', "line 2: a text goes on after its"),
    "an open quote in the header": ('image,"caption\na.jpg,x\n', "line 1: a quote is opened"),
    "a very long text": (f"image,caption\na.jpg,{'x' * 200_000}\n", "line 2: a text is over"),
    "a very long header": (f"{'x' * 200_000},y\n", "no column `image`"),
    "UTF-16": ("image,caption\na.jpg,ä\n".encode("utf-16"), "a text in UTF-16, no CSV"),
    "UTF-16 without a mark": ("image,caption\n".encode("utf-16-le"), "line 1 is full of NULs"),
    "latin-1": ("image,caption\nb.jpg,x\na.jpg,ä\n".encode("latin-1"), "line 3: not a CSV in UTF"),
    "a workbook": (b"PK\x03\x04\x14\0\6\0", "a zip file or an Excel workbook, no CSV"),
    "nothing": ("", "no column `image`, for it is empty"),
    "no image of the folder": ("image,caption\nx.jpg,x\n", "1 of its 1 images are not in"),
    "another folder": ("image,caption\nc.jpg,x\n", "`sub/c.jpg` is there, elsewhere"),
    "another case": ("image,caption\nA.JPG,x\n", "`a.jpg` is there, in another case"),
    "Flickr8k's numbers": (
        "image,caption\na.jpg#0,x\n",
        "`a.jpg` is there, without what follows #",
    ),
    "no ending": ("image,caption\na,x\n", "`a.jpg` is there, with an ending"),
    "addresses": ("image,caption\nhttp://x/a.jpg,x\n", "not addresses"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_csv_whose_captions_would_be_lost_is_refused(
    root: Path, content: str | bytes, reason: str
) -> None:
    with pytest.raises(ExampleError) as refused:
        told(root, content)
    message = str(refused.value)
    assert reason in message and "\n" not in message and len(message) < 700
    assert str(root.parent / "captions.csv") in message


COUNTED = {
    "missing fields": ("image,caption,label\na.jpg,x\n", "line 2: fewer fields than the header"),
    "no image": ("image,caption\na.jpg,x\n,lost\n", "line 3: left out, for no image is named"),
    "no caption": ("image,caption\na.jpg,x\nb.jpg,\n", "line 3: an image without caption"),
    "images that are not there": (
        "image,caption\na.jpg,x\nx.jpg,x\ny.jpg,x\n",
        "2 of its 3 images are not in",
    ),
    "images without": ("image,caption\na.jpg,x\n", "2 of the images have no caption in it"),
    "columns": (
        "image,caption,source,class\na.jpg,x,y,z\n",
        "columns `image`, `caption`; not read: `source`, `class` (rename `class` to `label` to",
    ),
    "separated by others": ("image;caption\na.jpg;x\n", "separated by semicolons"),
    "several labels": ("image,label\na.jpg,x\na.jpg,y\n", "line 3: an image has several labels"),
}


@pytest.mark.parametrize(("content", "note"), COUNTED.values(), ids=COUNTED)
def test_what_is_lost_or_not_read_is_told(root: Path, content: str, note: str) -> None:
    _, notes = told(root, content)
    assert any(note in each for each in notes), notes


def test_several_labels_are_tags(root: Path) -> None:
    found, _ = told(root, "image,label\nsub/c.jpg,y\nsub/c.jpg,x\na.jpg,x\na.jpg,x\n")
    assert (found["sub/c.jpg"].label, found["sub/c.jpg"].tags) == (None, ("x", "y"))
    assert (found["a.jpg"].label, found["a.jpg"].tags) == ("x", ("x",))


@pytest.mark.timeout(120)
def test_many_captions_of_one_image_take_a_time_that_grows_with_them(root: Path) -> None:
    """With a time that grew with their square these took more than five minutes."""
    found = said(root, "image,caption\n" + "a.jpg,a dog\n" * 200_000)
    assert len(found["a.jpg"]) == 200_000


def test_a_run_says_what_it_reads_before_it_works(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    table.write_text("image,caption,source\na.jpg,x,y\nb.jpg,x,y\nsub/c.jpg\n")
    file = tmp_path / "run.toml"
    file.write_text(
        f'name = "x"\n[examples.source]\nkind = "folder"\npath = "{root}"\ncaptions = "{table}"\n'
        f'[models.m]\nid = "{tmp_path}/none"\nhooks = ["vision.0.resid_post"]\n'
        '[encoders.e]\nid = "none"\n[dictionaries.n]\nkind = "neurons"\n'
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline", "run", file, "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in ran.stderr
    assert f"{table}: read as captions and labels: columns `image`, `caption`; not" in ran.stderr
    assert f"{table}: line 4: fewer fields than the header" in ran.stderr


# --- Folders ---


def skipped(source: readers.FolderReader) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for _ in reading.read(source, list(source.examples()), len, batch=8, skipped=reasons):
        pass
    return reasons


def test_what_is_no_file_is_skipped_with_its_reason(root: Path) -> None:
    (root / "gone.jpg").symlink_to("nowhere")
    (root / "loop.jpg").symlink_to("loop.jpg")
    (root / "linked").symlink_to(root)
    (root / "sub/back").symlink_to("..")
    os.mkfifo(root / "pipe.jpg")
    source = reader(root)
    assert {e.uri for e in source.examples()} == {
        *("a.jpg", "b.jpg", "sub/c.jpg", "gone.jpg", "loop.jpg", "pipe.jpg")
    }
    reasons = skipped(source)
    assert set(reasons) == {"gone.jpg", "loop.jpg", "pipe.jpg"}
    assert "a link to nothing" in reasons["gone.jpg"]
    assert "cannot be looked at" in reasons["loop.jpg"]
    assert "no regular file" in reasons["pipe.jpg"]
    assert any("links to folders are not followed: `linked`, `sub/back`" in n for n in source.notes)


@pytest.fixture
def deep() -> Iterator[Path]:
    """A folder to nest in, taken away by a program that can."""
    path = Path(tempfile.mkdtemp())
    yield path
    subprocess.run(["rm", "-rf", path], check=True)


def nested(path: Path, name: str, depth: int) -> None:
    """`depth` folders in each other, the last with a picture, however long its path is."""
    at = os.open(path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    with os.fdopen(os.open("x.png", os.O_CREAT | os.O_WRONLY, dir_fd=at), "wb") as file:
        Image.new("RGB", (8, 8)).save(file, "PNG")
    os.close(at)


def test_folders_1500_deep_are_listed(deep: Path) -> None:
    nested(deep, "d", 1500)
    source = reader(deep)
    (found,) = source.examples()
    assert found.uri == "d/" * 1500 + "x.png"
    assert source.image(found).size == (8, 8)


def test_a_path_too_long_for_the_system_is_skipped_and_the_rest_goes_on(deep: Path) -> None:
    nested(deep, "d" * 250, 20)
    pictures(deep, "good.png")
    source = reader(deep)
    reasons = skipped(source)
    assert len(list(source.examples())) == 2
    ((uri, reason),) = reasons.items()
    assert uri.startswith("ddd") and "cannot be looked at (File name too long)" in reason


def test_what_may_not_be_read_is_skipped_and_the_rest_goes_on() -> None:
    """As somebody who is not root, whom no permission stops."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        pictures(root, "good.png", "shut.png", "closed/in.png")
        root.chmod(0o755)
        (root / "shut.png").chmod(0)
        (root / "closed").chmod(0)
        before = os.geteuid()
        try:
            if before == 0:
                os.seteuid(65534)
            source = reader(root)
            uris, reasons = {e.uri for e in source.examples()}, skipped(source)
        finally:
            os.seteuid(before)
            (root / "closed").chmod(0o755)
    assert uris == {"good.png", "shut.png", "closed"}
    assert "may not be read" in reasons["shut.png"]
    assert "a folder that cannot be looked into" in reasons["closed"]
    assert set(reasons) == {"shut.png", "closed"}


def test_names_that_are_escaped_alike_stay_apart(tmp_path: Path) -> None:
    names = [b"a\\xff.png", b"a\xff.png", b"b\xff\\xfe.png", b"b\\xff\xfe.png"]
    for name in names:
        try:
            with open(bytes(tmp_path) + b"/" + name, "wb") as file:
                Image.new("RGB", (8, 8)).save(file, "PNG")
        except OSError:
            pytest.skip("this file system takes no such name")
    source = reader(tmp_path)
    found = list(source.examples())
    assert len({e.example_id for e in found}) == 4
    assert set(skipped(source)) == {e.uri for e in found} - {"a\\xff.png"}


def test_files_that_are_no_pictures_by_name_are_told_and_take_no_place(root: Path) -> None:
    for name in ("a.txt", "b.txt", "Thumbs.db", ".hidden", "noending"):
        (root / name).write_text("x")
    source = reader(root)
    assert len(list(source.examples())) == 7
    assert any(
        "3 of 7 files are no pictures by their names (2 .txt, 1 .db)" in n for n in source.notes
    )
    settings = config.Examples(source=source.source, limit=4, val_fraction=0.5)
    chosen = {e.uri for e in listing.listing(settings, source=source)}
    assert chosen == {"a.jpg", "b.jpg", "sub/c.jpg", "noending"}


@pytest.mark.parametrize(
    ("tops", "splits"),
    [
        (("train", "val"), {"train": "train", "val": "val"}),
        (("Train", "VAL"), {"Train": "train", "VAL": "val"}),
        (("train", "validation", "test"), {"train": "train", "validation": "val", "test": "val"}),
        (("train", "cat"), {"train": "train", "cat": ""}),
        (("Train", "cat"), {"Train": "", "cat": ""}),
        (("valid", "invalid"), {"valid": "", "invalid": ""}),
    ],
)
def test_folders_that_are_splits(
    tmp_path: Path, tops: tuple[str, ...], splits: dict[str, str]
) -> None:
    pictures(tmp_path, *(f"{top}/dog/x.png" for top in tops))
    source = reader(tmp_path)
    assert {e.uri.split("/")[0]: e.split for e in source.examples()} == splits
    assert {e.label for e in source.examples()} == {"dog"}
    plain = set(tops) == {"train", "val"}
    assert bool(source.notes) is not plain, "what is not written as told is told"


def test_a_folder_that_lacks_a_side_is_told_what_would_do(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"train/{i}.png" for i in range(30)), "val/x.png")
    settings = config.Examples(source=reader(tmp_path).source, limit=2)
    with pytest.raises(ExampleError, match="none in the val split; raise limit"):
        listing.listing(settings, source=reader(tmp_path))


# --- Columns of data sets ---


def saved(path: Path, columns: dict[str, list[Any]], **features: Any) -> Path:
    import datasets

    data = datasets.Dataset.from_dict(columns)
    for name, feature in features.items():
        data = data.cast_column(name, feature)
    data.save_to_disk(path / "set")
    return path / "set"


def hub(path: Path, **more: object) -> readers.HuggingFaceReader:
    return readers.HuggingFaceReader(
        config.HuggingFace(kind="huggingface", dataset=str(path), **more)
    )


@pytest.fixture
def png(tmp_path: Path) -> bytes:
    pictures(tmp_path, "one.png")
    return (tmp_path / "one.png").read_bytes()


STRUCT = {"raw": "A dog.", "tokens": ["a", "dog"], "sentid": 3}
CAPTIONS = {
    "a string": ("A dog.", ("A dog.",)),
    "strings": (["A dog.", "", " x "], ("A dog.", "x")),
    "COCO's struct": (STRUCT, ("A dog.",)),
    "COCO's structs": ([STRUCT, STRUCT | {"raw": "x"}], ("A dog.", "x")),
    "text": ({"text": "A dog."}, ("A dog.",)),
    "a struct of lists": ({"raw": ["A dog.", "x"], "tokens": [["a"], ["x"]]}, ("A dog.", "x")),
}


@pytest.mark.parametrize(("cell", "wanted"), CAPTIONS.values(), ids=CAPTIONS)
def test_captions_of_a_column(
    tmp_path: Path, png: bytes, cell: Any, wanted: tuple[str, ...]
) -> None:
    path = saved(tmp_path, {"image": [png, png], "said": [cell, None], "cocoid": [1, 2]})
    source = hub(path, caption_column="said")
    assert [e.captions for e in source.examples()] == [wanted, ()]
    assert "pictures from `image`, captions from `said`" in source.notes[0]
    assert "not read: `cocoid`" in source.notes[0]
    assert ("its field" in source.notes[0]) is ("raw" in str(cell) or "text" in str(cell))
    assert "1 of 2 rows have no caption" in source.notes[1]


@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ([{"answer": "yes", "answer_id": 1}], "lists of structs of `answer`, `answer_id`"),
        ({"en": "a", "de": "b"}, "structs of `en`, `de`"),
        ({"raw": 3}, "structs of `raw`"),
        ([["a", "dog"], ["x"]], "lists of lists of string"),
        (3, "int64"),
        ([1, 2], "lists of int64"),
        (b"x", "binary"),
        ({"raw": {"raw": "x"}}, "structs of `raw`"),
    ],
    ids=str,
)
def test_captions_of_another_type_are_refused_with_it(
    tmp_path: Path, png: bytes, cell: Any, kind: str
) -> None:
    source = hub(saved(tmp_path, {"image": [png], "said": [cell]}), caption_column="said")
    with pytest.raises(ExampleError, match="caption_column: 'said' holds ") as refused:
        list(source.examples())
    assert kind in str(refused.value) and "name a column of strings" in str(refused.value)


def test_labels_of_a_column(tmp_path: Path, png: bytes) -> None:
    import datasets

    classes = datasets.ClassLabel(names=["cat", "dog"])
    columns = {
        "image": [png] * 3,
        "one": [0, -1, None],
        "many": [[1, 0, 1], [1], None],
        "number": [7, 7, None],
        "words": [["b", "a"], [" a "], []],
        "part": [0.5, float("nan"), None],
        "boxes": [[{"box": [1, 2], "category": 3}]] * 3,
    }
    path = saved(tmp_path, columns, one=classes, many=datasets.List(classes))

    def found(column: str) -> list[tuple[str | None, tuple[str, ...]]]:
        return [(e.label, e.tags) for e in hub(path, label_column=column).examples()]

    assert found("one") == [("cat", ("cat",)), (None, ()), (None, ())]
    assert found("many") == [(None, ("cat", "dog")), ("dog", ("dog",)), (None, ())]
    assert found("number") == [("7", ("7",)), ("7", ("7",)), (None, ())]
    assert found("words") == [(None, ("a", "b")), ("a", ("a",)), (None, ())]
    assert found("part") == [("0.5", ("0.5",)), (None, ()), (None, ())]
    with pytest.raises(ExampleError, match="label_column: 'boxes' holds lists of structs"):
        found("boxes")


def test_pictures_as_bytes_and_as_paths(tmp_path: Path, png: bytes) -> None:
    here = str(tmp_path / "one.png")
    columns = {
        "bytes": [png],
        "path": [here],
        "both": [{"bytes": png, "path": "x.png"}],
        "file": [{"bytes": None, "path": here}],
    }
    path = saved(tmp_path, columns)
    for column in columns:
        source = hub(path, image_column=column)
        (example,) = source.examples()
        assert source.image(example).size == (8, 8), column


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("a dog", "names `a dog`, which is no file here"),
        ("https://x.org/a.jpg", "an address; load the pictures into the data set first"),
        (3, "holds int64; name a column of pictures"),
        ([1, 2], "holds lists of int64"),
        ({"x": 3}, "holds structs of `x`"),
        (["a.png"], "holds lists of string"),
    ],
    ids=str,
)
def test_a_column_without_pictures_is_refused_with_its_type(
    tmp_path: Path, cell: Any, reason: str
) -> None:
    with pytest.raises(ExampleError, match="image_column: 'image' ") as refused:
        hub(saved(tmp_path, {"image": [cell]}))
    assert reason in str(refused.value) and "\n" not in str(refused.value)


def test_a_path_that_is_no_file_is_skipped(tmp_path: Path, png: bytes) -> None:
    os.mkfifo(tmp_path / "pipe")
    paths = [str(tmp_path / "one.png"), str(tmp_path / "pipe"), "x" * 5000, "a\0b", str(tmp_path)]
    source = hub(saved(tmp_path, {"image": paths}))
    found = list(source.examples())
    assert source.image(found[0]).size == (8, 8)
    for example in found[1:]:
        with pytest.raises(Unreadable):
            source.image(example)
    for uri in ("train/99", "other/0", "train/x"):
        with pytest.raises(Unreadable, match="the row cannot be read"):
            source.image(examples.Example(0, uri, "val"))


def test_what_a_data_set_lacks_is_named(
    tmp_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    data = datasets.Dataset.from_dict({"image": [png]})
    data.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": data}).save_to_disk(tmp_path / "dict")
    (tmp_path / "files").mkdir()
    data.to_parquet(tmp_path / "files/train.parquet")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/train.parquet").write_bytes(b"PAR1 this is none PAR1")
    cases = [
        ("one", {"splits": ("train", "val")}, "a single data set without splits"),
        ("dict", {"splits": ("tset",)}, r"no split 'tset'; there are \['train'\]"),
        ("files", {"splits": ("tset",)}, "Unknown split .*name one of these in .*splits"),
        ("files", {"subset": "en"}, "'en' not found.*name one of these in .*subset"),
        ("bad", {}, "cannot be loaded .*fetch damaged ones again"),
    ]
    for name, more, reason in cases:
        with pytest.raises(ExampleError, match=reason) as refused:
            hub(tmp_path / name, **more)
        assert "\n" not in str(refused.value)
