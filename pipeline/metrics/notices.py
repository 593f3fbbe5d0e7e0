"""What a run's figures tell that its reader should know before using them, in one line each.

The thresholds stand here alone; the run's summary and the page Overview show the same lines.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

MUCH_FVU = 0.5
"""Where half of the variance is not in the features, they tell half of what the model uses; SAEs of
published studies leave 0.1 to 0.3."""
MUCH_DEAD = 0.5
"""Where half of the features are dead, a dictionary of half the size would have done."""
FAR_L0 = 1.5
"""Times k, or k over it: val differs from train by less, up to a third on some hundred photographs,
so that more is a fault of the training."""
FEW_LIVE = 16
"""Means over fewer features than are shown images of one say little."""
FEW_VAL = 100
"""Of fewer val images a feature's 16 strongest are a sixth, and MS rests on few pairs."""
MANY_UNCAPTIONED = 0.1
"""The share of val images without a caption above which Modalities tells of part of them alone."""
MOST_NAMED = 3

_KINDS: Mapping[str, Collection[str]] = {
    "patches": ("image", "patch"), "cls": ("image", "cls"), "text": ("text", "caption"),
    "all": ("image", "patch", "cls", "special", "text", "caption"), "captions": ("caption_alone",),
}  # fmt: skip
"""What an SAE learnt from -> kinds of token that `reconstruction` has of it."""

Row = Mapping[str, Any]


def notices(
    *,
    config: Row,
    dictionaries: Sequence[Row],
    reconstruction: Sequence[Row],
    encoders: Sequence[Row],
    live: Mapping[str, int],
    val: int,
    captioned: int | None,
) -> list[str]:
    """The lines, the gravest first; none where all is well.

    Args:
        config: of the bundle's manifest, which holds what k was asked for.
        dictionaries, reconstruction, encoders: rows of these tables.
        live: dictionary -> its features that a val image or one of its captions activates, where
            captions were read; of others `dead` counts.
        val: val images.
        captioned: those of them that have captions; None where the bundle does not say.
    """
    saes = [row for row in dictionaries if row["basis"] == "sae"]
    saes.sort(key=lambda row: str(row["dictionary_id"]))
    alive = {
        row["dictionary_id"]: live.get(row["dictionary_id"], row["d_sae"] - row["dead"])
        for row in saes
    }
    lines = [judged_by_itself(row["encoder"]) for row in encoders if row.get("judges_itself")]
    if val < FEW_VAL:
        lines.append(
            f"The val split has {val:,} images, too few for scores (fewer than {FEW_VAL}): add "
            "images or raise val_fraction."
        )
    lines += _listed(
        f"More than {MUCH_FVU:.0%} of the variance is not explained (fvu)",
        [(r, f"{r['fvu']:.2f}") for r in saes if r["fvu"] is not None and r["fvu"] > MUCH_FVU],
        "what their features show is part of what the model uses. Train longer, raise k or "
        "expansion, or let them learn from the tokens that they read.",
    )
    lines += _listed(
        f"At least {MUCH_DEAD:.0%} of the features are dead",
        [
            (r, f"{r['d_sae'] - alive[r['dictionary_id']]:,} of {r['d_sae']:,}")
            for r in saes
            if alive[r["dictionary_id"]] <= (1 - MUCH_DEAD) * r["d_sae"]
        ],
        "lower expansion, train longer, or give more images.",
    )
    lines += _listed(
        f"Fewer than {FEW_LIVE} features are live",
        [
            (r, f"{alive[r['dictionary_id']]:,}")
            for r in saes
            if alive[r["dictionary_id"]] < min(FEW_LIVE, r["d_sae"])
        ],
        "means over them say little. Train longer, or give more images.",
    )
    lines += _listed(
        f"l0 is more than {FAR_L0} times k, or less than k by as much",
        list(_far(config, saes, reconstruction)),
        "val differs from train. Give more train images, or train longer.",
    )
    wanted = _part(config, "captions").get("per_image") != 0
    if captioned is not None and wanted and captioned < (1 - MANY_UNCAPTIONED) * val:
        which = f"{val - captioned:,} of {val:,} val images have no caption" if captioned else (
            "No val image has a caption"
        )  # fmt: skip
        lines.append(
            f"{which}: Modalities tells nothing of them. Name a file of captions under "
            "examples.source if there is one."
        )
    return lines


def judged_by_itself(encoder: str) -> str:
    """The mark of everything that shows MS by this encoder."""
    return (
        f"MS by {encoder} is a model's judgement of itself: this encoder is the image tower of a "
        "model under study, which raises the scores near its projection. Choose no SAE by them."
    )


def _far(config: Row, saes: Sequence[Row], found: Sequence[Row]) -> Iterator[tuple[Row, str]]:
    """SAEs with a kind of token that they learnt from on which far more or fewer than k fire."""
    asked = _part(config, "dictionaries")
    for row in saes:
        k = _part(asked, row["name"]).get("k")
        learnt = str(row.get("learnt_from") or "").split(" + ")
        if not k:
            continue
        mine = [r for r in found if r["dictionary_id"] == row["dictionary_id"] and r["tokens"]]
        for kind in learnt:
            kinds = _KINDS.get(kind, ())
            some = [r for r in mine if r["token_type"] in kinds and r["l0"] is not None]
            if not some:
                continue
            tokens = sum(r["tokens"] for r in some)
            l0 = sum(r["l0"] * r["tokens"] for r in some) / tokens
            if not k / FAR_L0 <= l0 <= k * FAR_L0:
                yield row, f"{l0:.1f} on {kind} for k = {k}"


def _listed(what: str, rows: Sequence[tuple[Row, str]], then: str) -> list[str]:
    """One line on some dictionaries, or none."""
    if not rows:
        return []
    names = [f"{row['dictionary_id']} ({how})" for row, how in rows[:MOST_NAMED]]
    more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
    return [f"{what}: {', '.join(names)}{more}; {then}"]


def _part(config: Row, name: str) -> Row:
    """A table of the settings; empty where a damaged manifest holds something else."""
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}
