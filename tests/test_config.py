"""A run's TOML: what is wrong with it is said in one line that names the file and the key."""

import math
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import annotated_types
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from pipeline import config
from pipeline.config import ConfigError

ROOT = Path(__file__).parents[1]
GOOD = """
name = "tiny"
[examples.source]
kind = "folder"
path = "photos"
[models.clip]
id = "some/clip"
hooks = ["vision.0.resid_post"]
[encoders.judge]
id = "some/encoder"
[dictionaries.sae]
kind = "batchtopk"
k = 4
[dictionaries.neurons]
kind = "neurons"
"""


def fault(text: str) -> str:
    """The one line that refuses `text`."""
    with pytest.raises(ConfigError) as refused:
        config.parse(text, source="my.toml")
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith("my.toml: ")
    return message


# The projector's training is no run; test_configs reads it.
SHIPPED = sorted(
    {*(ROOT / "pipeline/configs").glob("*.toml")}
    - {ROOT / "pipeline/configs/clip-gemma-projector.toml"}
)


@pytest.mark.parametrize("file", SHIPPED, ids=str)
def test_shipped_configs_parse(file: Path) -> None:
    assert config.load(file).name == file.stem


def test_a_good_config_is_read_with_its_defaults() -> None:
    run = config.parse(GOOD)
    assert run.examples.source == config.Folder(kind="folder", path=Path("photos"))
    assert run.default_encoder == "judge"
    assert run.machine.device == "auto"
    sae = run.dictionaries["sae"]
    assert isinstance(sae, config.TrainedSAE)
    assert (sae.k, sae.pooling, sae.tokens) == (4, "max", "patches")


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        config.parse(GOOD).name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ('name = "tiny"', 'name = "tiny"\nnaem = 1', "naem"),
        ('path = "photos"', 'path = "photos"\npaht = 1', "examples.source.paht"),
        ("[models.clip]", "[models.clip]\nrevison = 'x'", "models.clip.revison"),
        ("k = 4", "k = 4\nkk = 5", "dictionaries.sae.kk"),
        ("k = 4", "k = 4\ntraining = { sample = 3 }", "dictionaries.sae.training.sample"),
        ("[examples.source]", "[machine]\nthreads = 2\n[examples.source]", "machine.threads"),
    ],
)
def test_an_unknown_key_is_refused(before: str, after: str, key: str) -> None:
    message = fault(GOOD.replace(before, after))
    assert f": {key}: unknown key" in message


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("k = 4", "k = 0", "dictionaries.sae.k"),
        ("k = 4", 'k = "many"', "dictionaries.sae.k"),
        ("k = 4", "k = 4\npooling = 'sum'", "dictionaries.sae.pooling"),
        ("k = 4", "k = 4\nlevels = [0.5, 0.6]", "dictionaries.sae"),
        ("k = 4", "k = 4\nlevels = [0.5, -0.5]", "dictionaries.sae.levels"),
        ("k = 4", "k = 4\nlevels = []", "dictionaries.sae.levels"),
        ('hooks = ["vision.0.resid_post"]', "hooks = []", "models.clip.hooks"),
        ("[examples.source]", "[examples]\nval_fraction = 1.0\n[examples.source]", "val_fraction"),
        ("[examples.source]", "[examples]\nlimit = 1\n[examples.source]", "examples.limit"),
        ("[examples.source]", "[examples]\nthumbnail = 9999\n[examples.source]", "thumbnail"),
        ('kind = "folder"', 'kind = "directory"', "examples.source"),
        ('kind = "neurons"', 'kind = "neuron"', "dictionaries.neurons"),
        ('id = "some/clip"\n', "", "models.clip.id"),
        ('name = "tiny"\n', "", "name"),
        ('[encoders.judge]\nid = "some/encoder"\n', "", "encoders"),
    ],
)
def test_a_bad_value_is_refused(before: str, after: str, key: str) -> None:
    assert GOOD.replace(before, after) != GOOD
    assert key in fault(GOOD.replace(before, after))


@pytest.mark.parametrize("name", ["Tiny", "a/b", "../a", "", "a b", ".a", "ä"])
def test_names_that_cannot_be_parts_of_paths_are_refused(name: str) -> None:
    assert "name" in fault(GOOD.replace('name = "tiny"', f'name = "{name}"'))
    assert "models" in fault(GOOD.replace("[models.clip]", f'[models."{name}"]'))
    assert "dictionaries" in fault(GOOD.replace("dictionaries.sae]", f'dictionaries."{name}"]'))


def test_a_name_that_ends_in_a_line_break_is_refused() -> None:
    assert "name" in fault(GOOD.replace('name = "tiny"', 'name = "tiny\\n"'))


def test_names_must_exist() -> None:
    message = fault(GOOD + '[scores]\ndefault_encoder = "jugde"')
    assert "default_encoder" in message
    assert "'judge'" in message
    message = fault(GOOD.replace("k = 4", 'k = 4\nmodels = ["clop"]'))
    assert "dictionaries.sae.models" in message
    assert "'clip'" in message


def test_a_hook_point_named_twice_is_refused() -> None:
    twice = GOOD.replace('["vision.0.resid_post"]', '["vision.0.resid_post"] * 2')
    assert "not TOML" in fault(twice)
    twice = GOOD.replace('"vision.0.resid_post"]', '"vision.0.resid_post", "vision.0.resid_post"]')
    assert "models.clip" in fault(twice)


def test_every_fault_has_a_line_of_its_own() -> None:
    with pytest.raises(ConfigError) as refused:
        config.parse(GOOD.replace("k = 4", "k = 0\nkk = 1"), source="my.toml")
    lines = str(refused.value).splitlines()
    assert len(lines) == 2
    assert all(line.startswith("my.toml: dictionaries.sae.") for line in lines)


def test_what_is_not_toml_is_refused() -> None:
    assert "not TOML" in fault("name = ")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "cannot be read"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: path.write_bytes(b"name = '\xff\xfe'"), "not UTF-8"),
    ],
    ids=["missing", "folder", "bytes"],
)
def test_a_file_that_cannot_be_read_is_refused(make: object, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    make(file)  # type: ignore[operator]
    with pytest.raises(ConfigError, match=reason) as refused:
        config.load(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert "\n" not in str(refused.value)


def test_the_file_is_named_in_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(GOOD.replace("k = 4", "k = 0"))
    with pytest.raises(ConfigError, match="greater than or equal to 1") as refused:
        config.load(file)
    assert str(refused.value).startswith(f"{file}: dictionaries.sae.k: ")


# --- Numbers ---


def numbers() -> Iterator[tuple[str, Any, Any, list[Any]]]:
    """Every number of every kind of settings: its name, its type, int or float, its bounds."""
    kinds = [k for k in vars(config).values() if isinstance(k, type) and issubclass(k, BaseModel)]
    for kind in kinds:
        for name, field in kind.model_fields.items():
            whole = (
                typing.Annotated[(field.annotation, *field.metadata)]
                if field.metadata
                else (field.annotation)
            )
            for base, bounds in scalars(whole, []):
                yield f"{kind.__name__}.{name}", whole, base, bounds


def scalars(kind: Any, bounds: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
    """The numbers within a type, each with what bounds it."""
    if typing.get_origin(kind) is typing.Annotated:
        inner, *more = typing.get_args(kind)
        found = [b for m in more for b in (getattr(m, "metadata", None) or [m])]
        yield from scalars(inner, bounds + found)
    elif kind in (int, float):
        yield kind, bounds
    else:
        for inner in typing.get_args(kind):
            yield from scalars(inner, bounds)


NUMBERS = list(numbers())


def test_there_are_numbers_to_look_at() -> None:
    names = {name for name, *_ in NUMBERS}
    assert {"Examples.limit", "TrainedSAE.levels", "Training.seed", "Fit.lr"} <= names
    assert len(NUMBERS) > 45


@pytest.mark.parametrize(("name", "kind", "base", "bounds"), NUMBERS, ids=[n for n, *_ in NUMBERS])
def test_every_number_has_bounds(name: str, kind: Any, base: Any, bounds: list[Any]) -> None:
    low = [b for b in bounds if isinstance(b, annotated_types.Ge | annotated_types.Gt)]
    high = [b for b in bounds if isinstance(b, annotated_types.Le | annotated_types.Lt)]
    assert len(low) == len(high) == 1, name
    adapter = TypeAdapter(kind, config={"allow_inf_nan": False})
    several = typing.get_origin(kind if bounds == [] else base) is tuple or "tuple" in str(kind)
    for value in (math.nan, math.inf, -math.inf, -1, 10**13, 10**400, -(10**5000)):
        with pytest.raises(ValidationError):
            adapter.validate_python((value,) if several else value)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("k = -3", "k: Input should be greater than or equal to 1, not -3"),
        (
            "expansion = 1e9",
            "expansion: Input should be less than or equal to 1024, not 1000000000",
        ),
        ("expansion = inf", "expansion: Input should be a finite number, not inf"),
        ("expansion = nan", "expansion: Input should be a finite number, not nan"),
        ("training.seed = -1", "training.seed: Input should be greater than or equal to 0, not -1"),
        ("training.lr = 1e400", "training.lr: Input should be a finite number, not inf"),
        ("training.batch = 0x" + "f" * 9000, "more than 30 digits"),
        ("training.samples = " + "9" * 9000, "not TOML: Exceeds the limit"),
        ("training.samples = " + "9" * 900, "training.samples: "),
        ("training.batch = 1.5", "not 1.5"),
        ('training.batch = "many"', "not 'many'"),
        ("training.batch = [1]", "training.batch: "),
        ('pooling = "sum"', "pooling: Input should be 'max' or 'mean', not 'sum'"),
        ("learns = " + "[" * 2000 + "]" * 2000, "nested too deeply"),
        ("learns = " + "{a = " * 2000 + "1" + "}" * 2000, "nested too deeply"),
        ("training" + ".a" * 2000 + " = 1", "training.a: unknown key"),
        ('"a\\nb\\u0000" = 1', "a\\nb\\x00: unknown key"),
        ('"' + "x" * 5000 + '" = 1', "x…: unknown key"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_allowed(line: str, says: str) -> None:
    message = fault(GOOD.replace("k = 4", line if line.startswith("k") else f"k = 4\n{line}"))
    assert says in message and len(message) < 400


def test_no_secret_is_repeated() -> None:
    for line in ('url = "https://me:secret@x.org"', 'url = "https://x.org"\nkey_env = "sk-secret"'):
        message = fault(GOOD + f'[labels.endpoint]\nmodel = "m"\n{line}')
        assert "labels.endpoint" in message and "secret" not in message


def test_a_file_of_faults_is_told_in_few_lines() -> None:
    with pytest.raises(ConfigError) as refused:
        config.parse(GOOD + "".join(f"\nx{i} = 1" for i in range(5000)), source="my.toml")
    lines = str(refused.value).split("\n")
    assert len(lines) == 21 and lines[-1] == "my.toml: 4,980 faults more"


def test_a_byte_order_mark_is_no_fault_and_a_huge_file_is(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert config.load(file) == config.parse(GOOD)
    file.write_bytes(b"#" * 3_000_000)
    with pytest.raises(ConfigError, match="over 1,048,576 bytes, no config"):
        config.load(file)
    with pytest.raises(ConfigError, match="over 1,048,576 bytes"):
        config.load(Path("/dev/zero"))
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(ConfigError, match="cannot be read"):
            config.load(Path(name))


def test_splits_are_named_once_and_at_all() -> None:
    for splits in ("[]", '["train", "train"]'):
        source = f'kind = "huggingface"\ndataset = "x"\nsplits = {splits}'
        message = fault(GOOD.replace('kind = "folder"\npath = "photos"', source))
        assert "examples.source.splits" in message
