"""The colours, each with one meaning. `.streamlit/config.toml` repeats the two accents as its
theme's primary colours; a test keeps them equal."""

ACCENT = {"light": "#0f6b75", "dark": "#3a9faa"}
"""Links, chosen things, and SAEs where there is one."""
SAE_SHADES = ("#1c9a8a", "#7cc6a4", "#0d5f6e", "#a3b96b", "#3f7f5f", "#5aa7c0")
"""SAE dictionaries, by name in the order met; readable on both grounds."""
COLUMNS = ("#1c9a8a", "#cf7a35", "#8a77cf", "#b3568f")
"""What stands side by side in a comparison, from left to right."""
NEURONS = "#8b919c"
CONTROL = "#c98a3a"
"""The density-matched controls."""
VIRIDIS = (
    "#440154", "#482475", "#414487", "#355f8d", "#2a788e",
    "#21918c", "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725",
)  # fmt: skip
"""Activation, from 0 to the largest shown: perceptually uniform, safe for the colour-blind."""


def by_name(names: list[str], neurons: set[str]) -> dict[str, str]:
    """A colour for each dictionary name: grey for `neurons`, shades of the accent for the rest."""
    shades = iter(SAE_SHADES * (len(names) // len(SAE_SHADES) + 1))
    return {name: NEURONS if name in neurons else next(shades) for name in names}
