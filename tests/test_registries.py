"""Families of models and formats of SAEs: each is one file, found by being there."""

from collections import Counter
from pathlib import Path

import pytest

from pipeline import config
from pipeline.models import families
from pipeline.models.adapter import Adapter
from pipeline.saes import formats
from pipeline.saes.sae import SAE

FAMILIES = families.names()


def test_a_configuration_takes_every_family() -> None:
    assert sorted(FAMILIES) == sorted(config.FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_gives_its_adapter(family: str) -> None:
    assert issubclass(families.adapter(family), Adapter)


def test_no_model_type_is_of_two_families() -> None:
    claimed = Counter(t for family in FAMILIES for t in families.adapter(family).model_types)
    assert [kind for kind, count in claimed.items() if count > 1] == []
    for family in FAMILIES:
        for kind in families.adapter(family).model_types:
            assert families.of(kind) == family


def test_an_unknown_model_type_is_of_no_family() -> None:
    assert families.of("bert") is None


def test_formats_are_told_apart_and_the_surest_comes_first() -> None:
    names = [one.name for one in formats.every()]
    assert len(set(names)) == len(names) >= 3
    assert "sae-lens" in names[0]


def test_two_formats_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    formats.every()
    monkeypatch.setattr(formats, "_REGISTERED", dict(formats._REGISTERED))

    def load(path: Path) -> SAE:
        raise AssertionError(path)

    one = formats.Format("made up", ("made.up",), lambda path: False, load)
    formats.register(one)
    assert one in formats.every()
    assert "made.up" in formats.files()
    with pytest.raises(ValueError, match="'made up'"):
        formats.register(one)


def test_what_lies_beside_a_file_belongs_to_it_by_name(tmp_path: Path) -> None:
    for name in ("ae.pt", "config.json", "notes.json", "cfg.json"):
        (tmp_path / name).write_text("{}")
    assert [path.name for path in formats.beside(tmp_path / "ae.pt")] == ["cfg.json", "config.json"]
