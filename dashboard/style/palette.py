"""The colours, each with one meaning. `.streamlit/config.toml` repeats the two accents as its
theme's primary colours; a test keeps them equal."""

ACCENT = {"light": "#0f6b75", "dark": "#3a9faa"}
"""Links, chosen things, and SAEs where there is one."""
SAE_SHADES = ("#1c9a8a", "#7cc6a4", "#0d5f6e", "#a3b96b", "#3f7f5f", "#5aa7c0")
"""SAE dictionaries, by name in the order met; readable on both grounds."""
COLUMNS = ("#1c9a8a", "#cf7a35", "#8a77cf", "#b3568f")
"""What stands side by side in a comparison, from left to right."""
HUES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""SAE dictionaries where shades would be too alike, as in small points that mix: the hues of Okabe
and Ito, which the colour-blind tell apart."""
NEURONS = "#8b919c"
CONTROL = "#c98a3a"
"""The density-matched controls."""
VIRIDIS = (
    "#440154", "#482475", "#414487", "#355f8d", "#2a788e",
    "#21918c", "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725",
)  # fmt: skip
"""Activation, from 0 to the largest shown: perceptually uniform, safe for the colour-blind."""

IMAGE, BOTH, TEXT = "#2f7fc1", "#9b7b9b", "#dd7f22"
"""What fires on pictures, on both, on words; alone and as the ends and the middle of a ramp."""


def by_name(
    names: list[str], neurons: set[str], *, among: tuple[str, ...] = SAE_SHADES
) -> dict[str, str]:
    """A colour for each dictionary name: grey for `neurons`, those `among` in turn for the rest."""
    shades = iter(among * (len(names) // len(among) + 1))
    return {name: NEURONS if name in neurons else next(shades) for name in names}
