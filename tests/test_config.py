"""A run's TOML: what is wrong with it is said in one line that names the file and the key."""

from pathlib import Path

import pytest

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
        ("k = 4", "k = 4\nlevels = [1.5, -0.5]", "dictionaries.sae.levels"),
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
