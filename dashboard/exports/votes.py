"""A study's tables as they leave the page Results: votes, what was judged, features, people.

By pseudonym: no name is in them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.annotations import Vote
from pipeline.study.alone import Alone
from pipeline.study.content import Content, name_of
from pipeline.study.exchange import votes_columns
from pipeline.study.findings import Findings
from pipeline.study.results import Judged


def votes_table(content: Content, votes: Sequence[Vote]) -> pa.Table:
    """Every row that was written, undone ones among them: as `exchange.votes_columns`."""
    columns: dict[str, Any] = dict(votes_columns(content, votes))
    columns["answer"] = pa.array(columns["answer"], pa.string())
    columns["response_ms"] = pa.array(columns["response_ms"], pa.int64())
    return pa.table(columns)


def items_table(found: Findings) -> pa.Table:
    """What was judged: of pairs both features, what people prefer, and both features' scores; of
    others the feature, the mean answer and its scores."""
    return _pairs(found, found.of) if isinstance(found.of, Judged) else _singles(found, found.of)


def _pairs(found: Findings, of: Judged) -> pa.Table:
    names = [name_of(one) for one in found.content.features]
    columns: dict[str, Any] = {
        "item": of.items,
        "x": [names[place] for place in of.features[:, 0]],
        "y": [names[place] for place in of.features[:, 1]],
        "votes": of.votes,
        "prefer_x": of.preference,
        "for_x": (of.ratings == 1).sum(0),
        "ties": (of.ratings == 0.5).sum(0),
        "for_y": (of.ratings == 0).sum(0),
    }
    for score, values in found.scores.items():
        for side, column in enumerate("xy"):
            columns[f"{score} of {column}"] = _known(values[of.features[:, side]])
    return pa.table(columns)


def _singles(found: Findings, of: Alone) -> pa.Table:
    names = [name_of(one) for one in found.content.features]
    columns: dict[str, Any] = {
        "item": of.items,
        "feature": ["" if place < 0 else names[place] for place in of.features],
        "votes": of.votes,
        "mean": of.means,
    }
    columns |= {score: _known(of.of(values)) for score, values in found.scores.items()}
    return pa.table(columns)


def features_table(found: Findings) -> pa.Table:
    """The study's features, with their strengths where there is a ranking, and their scores."""
    features = found.content.features
    columns: dict[str, Any] = {
        "feature": [name_of(one) for one in features],
        "fingerprint": [one.fingerprint for one in features],
    }
    if found.ranking is not None:
        columns |= {
            "strength": found.ranking.strength,
            "low": found.ranking.low,
            "high": found.ranking.high,
        }
    return pa.table(columns | {name: _known(values) for name, values in found.scores.items()})


def annotators_table(found: Findings) -> pa.Table:
    """Everybody who answered anything, with how they did where that can be checked."""
    return pa.table(
        {
            "annotator": [one.annotator for one in found.checks],
            "counts": [one.annotator in found.kept for one in found.checks],
            "votes": [one.votes for one in found.checks],
            "skips": [one.skips for one in found.checks],
            "checks": [one.catches for one in found.checks],
            "checks_failed": [one.caught for one in found.checks],
            "repeats": [one.repeats for one in found.checks],
            "repeats_alike": [one.alike for one in found.checks],
            "median_response_ms": pa.array([o.median_ms for o in found.checks], pa.float64()),
        }
    )


def _known(values: Any) -> pa.Array:
    return pa.array(values, pa.float64(), mask=np.isnan(values))
