"""The headline figures of a bundle: are SAE features more monosemantic than neurons?

    python bench/monosemanticity.py [RUN]      (default: data/runs/demo)

For each SAE dictionary, over its live features that have a score: mean MS, and its difference with
a 95 % bootstrap interval to the raw neurons' mean at the same hook point, to a seeded neuron made
as sparse as each feature, and to a seeded random direction made as sparse (both paired).
"""

import argparse
import sys
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from pipeline.bundle.opening import open_bundle
from pipeline.bundle.sealed import StoreError
from pipeline.metrics.intervals import mean_difference

SEED = 0


def main(path: Path) -> None:
    bundle = open_bundle(path)
    connection = duckdb.connect(str(bundle.database), read_only=True)
    dictionaries = connection.execute(
        "SELECT dictionary_id, model, hook, name, dead, d_sae, l0, fvu FROM dictionaries "
        "WHERE basis = 'sae' ORDER BY model, depth, name"
    ).fetchall()
    print(
        "| dictionary | live | l0 | fvu | mean MS | minus neurons | minus sparse neurons ", end=""
    )
    print("| minus sparse directions |\n|---|---|---|---|---|---|---|---|")
    for identity, model, hook, name, dead, size, l0, fvu in dictionaries:
        ms, neuron, direction = scores(connection, identity)
        (neurons,) = connection.execute(
            "SELECT dictionary_id FROM dictionaries "
            "WHERE basis = 'neurons' AND model = ? AND hook = ?",
            [model, hook],
        ).fetchone() or (None,)
        baseline = scores(connection, neurons)[0] if neurons else np.array([np.nan])
        differences = [
            mean_difference(ms, baseline, seed=SEED),
            mean_difference(ms, neuron, seed=SEED, paired=True),
            mean_difference(ms, direction, seed=SEED, paired=True),
        ]
        shown = " | ".join(f"{d:+.3f} [{low:+.3f}, {high:+.3f}]" for d, low, high in differences)
        print(
            f"| {hook} / {name} | {size - dead} of {size} | {l0:.1f} | {fvu:.3f} "
            f"| {np.nanmean(ms):.3f} | {shown} |"
        )


def scores(connection: duckdb.DuckDBPyConnection, identity: str) -> list[NDArray[np.float64]]:
    """MS and both controls of a dictionary's features by the default encoder, NaN where none."""
    columns = connection.execute(
        "SELECT ms, control_neuron, control_direction FROM monosemanticity "
        "JOIN dictionaries USING (dictionary_id) "
        "WHERE dictionary_id = ? AND encoder = default_encoder ORDER BY feature_id",
        [identity],
    ).fetchnumpy()
    return [np.ma.filled(column.astype(float), np.nan) for column in columns.values()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, default=Path("data/runs/demo"))
    try:
        main(parser.parse_args().run)
    except StoreError as error:
        sys.exit(f"error: {error}")
