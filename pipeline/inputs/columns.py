"""What a column of a data set of the `datasets` library holds, as pictures, captions or labels; one
of another type is refused with its type and what would do."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from pipeline.inputs.sources import ExampleError, first_line, short, some_names

Read = Callable[[Any], tuple[str, ...]]
"""A cell -> its texts."""

_TEXT = ("string", "large_string", "string_view")
_FIELDS = ("raw", "text")
"""Of a struct the fields that hold the text as it was written; COCO's captions have `raw`."""
_PROBED = 32


def texts(feature: Any, column: str) -> tuple[Read, str]:
    """How a cell becomes captions, and in words what is read.

    A string is one, a list of strings several; of a struct, or a list of them, the field `raw` or
    `text` is taken; a class gives its name.

    Raises:
        ExampleError: no text.
    """
    found = _texts(feature)
    if found is None:
        raise ExampleError(
            f"examples.source.caption_column: {column!r} holds {typed(feature)}; name a column of "
            "strings or lists of strings, or of structs with a string `raw` or `text`; the data "
            "set's `map` makes one of another"
        )
    read, field = found
    return _clean(read), f"`{column}`" + (f" (its field `{field}`)" if field else "")


def labels(feature: Any, column: str) -> Read:
    """How a cell becomes names of classes: a class, a string, a number or truth, or a list of them.

    Raises:
        ExampleError: anything else.
    """
    inner = _inner(feature)
    one = _label(feature if inner is None else inner)
    if one is None:
        raise ExampleError(
            f"examples.source.label_column: {column!r} holds {typed(feature)}; name a column of "
            "classes, strings or numbers, or of lists of these"
        )
    return _clean(one if inner is None else _each(one))


def pictured(data: Any, column: str) -> Any:
    """`data` with the column of pictures as `{bytes, path}`, not decoded.

    Raises:
        ExampleError: the column holds no pictures, or the files that it names are not there.
    """
    import datasets  # heavy: only where a run names such a source

    feature = data.features[column]
    inner = _inner(feature)
    told = f"examples.source.image_column: {column!r} holds {typed(feature)}"
    wanted = "name a column of pictures, of their bytes, or of paths of files"
    if isinstance(inner, datasets.Image):
        raise ExampleError(f"{told}; name a column of one picture a row")
    other = isinstance(feature, dict) and not {"bytes", "path"} & set(feature)
    if other or (inner is not None and _inner(inner) is None):
        raise ExampleError(f"{told}; {wanted}")
    try:
        made = data.cast_column(column, datasets.Image(decode=False))
        cells = made.select_columns([column])[:_PROBED][column]
    except Exception:  # the library's many kinds, for what is no picture
        raise ExampleError(f"{told}; {wanted}") from None
    paths = [c["path"] for c in cells if c is not None and not c["bytes"] and c["path"]]
    held = any(c is not None and c["bytes"] for c in cells)
    if paths and not held and not any(os.path.isfile(path) for path in paths):
        what = f"examples.source.image_column: {column!r} names `{short(paths[0])}`"
        if "://" in paths[0]:
            raise ExampleError(f"{what}, an address; load the pictures into the data set first")
        raise ExampleError(f"{what}, which is no file here; {wanted}")
    return made


def cells(data: Any, column: str) -> list[Any]:
    """All of a column; raises ExampleError where it is damaged."""
    checked(data, column)
    found: list[Any] = data[column][:]
    return found


def checked(data: Any, column: str) -> None:
    """Look whether what a column holds is whole: reading a damaged one could end the process.

    Raises:
        ExampleError: it is damaged.
    """
    try:
        data.data.column(column).validate(full=True)
    except Exception as error:
        raise ExampleError(
            f"examples.source: column {column!r} cannot be read ({first_line(error)}); "
            "fetch or make the data set again"
        ) from None


def typed(feature: Any) -> str:
    """A column's type in a few words."""
    inner = _inner(feature)
    if inner is not None:
        return f"lists of {typed(inner)}"
    if isinstance(feature, dict):
        return f"structs of {some_names(list(feature))}"
    kind = type(feature).__name__
    return str(feature.dtype) if kind == "Value" else kind


def _inner(feature: Any) -> Any:
    """What a list holds; None of what is no list."""
    if isinstance(feature, list):
        return feature[0] if feature else None
    return feature.feature if type(feature).__name__ in ("List", "LargeList") else None


def _texts(feature: Any) -> tuple[Read, str | None] | None:
    """How a cell becomes texts and the field of structs that is taken; None where it holds none."""
    kind = type(feature).__name__
    if kind == "Value" and feature.dtype in _TEXT:
        return _one, None
    if kind == "ClassLabel":
        return _named(feature.names), None
    if isinstance(feature, dict):
        for name in _FIELDS:
            read = _texts(feature[name]) if _is_plain(feature.get(name)) else None
            if read:
                return _of_field(name, read[0]), name
        return None
    inner = _inner(feature)
    # Lists of lists are words of captions more often than captions.
    if inner is None or _inner(inner) is not None:
        return None
    found = _texts(inner)
    return (_each(found[0]), found[1]) if found else None


def _is_plain(feature: Any) -> bool:
    """Whether it is a string or a list of strings."""
    inner = _inner(feature)
    one = feature if inner is None else inner
    return type(one).__name__ == "Value" and one.dtype in _TEXT


def _label(feature: Any) -> Read | None:
    kind = type(feature).__name__
    if kind == "ClassLabel":
        return _named(feature.names)
    if kind != "Value":
        return None
    known = (*_TEXT, "bool", "int", "uint", "float", "double", "null")
    return _one if str(feature.dtype).startswith(known) else None


def _one(cell: Any) -> tuple[str, ...]:
    # A number that is none stands for a missing one.
    return () if cell is None or cell != cell else (str(cell),)


def _named(names: Sequence[str]) -> Read:
    """A class of -1 or none means that the row has no label."""

    def read(cell: Any) -> tuple[str, ...]:
        return (names[cell],) if cell is not None and 0 <= cell < len(names) else ()

    return read


def _of_field(name: str, read: Read) -> Read:
    return lambda cell: read((cell or {}).get(name))


def _each(read: Read) -> Read:
    return lambda cell: tuple(text for part in cell or () for text in read(part))


def _clean(read: Read) -> Read:
    return lambda cell: tuple(text.strip() for text in read(cell) if text.strip())
