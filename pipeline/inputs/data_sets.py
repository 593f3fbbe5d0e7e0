"""Data sets of the `datasets` library, from the hub or a folder, with pictures not decoded."""

import errno
from pathlib import Path
from typing import Any

from pipeline import config
from pipeline.inputs import columns
from pipeline.inputs.sources import ExampleError, first_line


def load(source: config.HuggingFace, split: str) -> Any:
    """A split, a `datasets.Dataset`, whose pictures are `{bytes, path}`.

    Raises:
        ExampleError: it is not to be had or damaged, or lacks a column that is named.
    """
    try:
        data = _found(source, split)
    except ExampleError:
        raise
    except Exception as error:  # the library raises many kinds for what is not to be had
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ExampleError(
            f"examples.source: data set {source.dataset!r}, split {split!r}, cannot be loaded "
            f"({first_line(error)}); {_remedy(source, str(error))}"
        ) from None
    for name in (source.image_column, source.caption_column, source.label_column):
        if name is not None and name not in data.column_names:
            raise ExampleError(
                f"examples.source: no column {name!r} in {source.dataset}; there are "
                f"{data.column_names}"
            )
    columns.checked(data, source.image_column)
    return columns.pictured(data, source.image_column)


def _found(source: config.HuggingFace, split: str) -> Any:
    import datasets  # heavy: only where a run names such a source

    folder = Path(source.dataset)
    if (folder / "dataset_dict.json").is_file():
        sets = datasets.load_from_disk(source.dataset)
        if split not in sets:
            raise ExampleError(
                f"examples.source.splits: {source.dataset} has no split {split!r}; there are "
                f"{list(sets)}"
            )
        return sets[split]
    if (folder / "state.json").is_file():
        if len(source.splits) > 1:
            raise ExampleError(
                f"examples.source.splits: {source.dataset} is a single data set without splits; "
                "name one, and val_fraction parts it"
            )
        return datasets.load_from_disk(source.dataset)
    return datasets.load_dataset(
        source.dataset, source.subset, split=split, revision=source.revision
    )


def _remedy(source: config.HuggingFace, error: str) -> str:
    if "nknown split" in error:
        return "name one of these in examples.source.splits"
    if "BuilderConfig" in error or "Config name" in error:
        return "name one of these in examples.source.subset"
    if Path(source.dataset).exists():
        return (
            "name a folder that `save_to_disk` wrote, or one of Parquet, CSV, JSON or image files, "
            "and fetch damaged ones again"
        )
    return (
        "check its name and revision and the network, and for a gated one set HF_TOKEN and accept "
        "its terms on its page"
    )
