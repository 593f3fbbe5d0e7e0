"""What a reading says of its hook point and of reconstruction."""

from collections.abc import Mapping
from typing import Any

from pipeline.metrics.reconstruction import ReconstructionSums
from pipeline.models.hook_points import HookPoint


def point_facts(point: HookPoint) -> dict[str, Any]:
    return {
        "hook": point.name,
        "tower": point.tower,
        "layer": point.layer,
        "point": point.point,
        "depth": point.depth,
        "d_in": point.d_in,
        "grid": point.grid,
    }


def reconstruction_facts(sums: Mapping[str, ReconstructionSums]) -> dict[str, dict[str, float]]:
    return {
        kind: {n: getattr(s, n) for n in ("tokens", "sse", "sum_x2", "cosine", "active")}
        for kind, s in sums.items()
    }
