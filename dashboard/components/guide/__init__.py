"""The first visit: what a feature is and what its score says, on features of this very run."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard.components import component

mount = component("guide")


def guide(steps: Sequence[dict[str, Any]]) -> None:
    """Show `steps` of {title, text, card, tiles, links: [{text, href, about}]}, open on the first
    visit and folded away once the reader has seen them. `card` is a feature card (`feature.card`).
    """
    first = st.context.cookies.get("loupe_guide") is None
    with st.container(key="guide-open" if first else "guide-folded"):
        mount(key="guide", data={"steps": list(steps), "open": first})
